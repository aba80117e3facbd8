//! Just enough of Rust's grammar to tell code from comments and strings, and to read paths.

/// The text with comments, strings and character literals blanked out, line by line as it was.
pub(super) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip_comment(&chars, at)
            .or_else(|| skip_raw_string(&chars, at))
            .or_else(|| skip_string(&chars, at))
            .or_else(|| skip_char(&chars, at));
        match end {
            Some(end) => {
                let end = end.min(chars.len());
                code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
                at = end;
            }
            None => {
                code.push(chars[at]);
                at += 1;
            }
        }
    }
    code
}

fn starts_with(chars: &[char], at: usize, what: &str) -> bool {
    what.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c))
}

fn skip_comment(chars: &[char], at: usize) -> Option<usize> {
    if starts_with(chars, at, "//") {
        let end = chars[at..].iter().position(|c| *c == '\n');
        return Some(end.map_or(chars.len(), |end| at + end));
    }
    if !starts_with(chars, at, "/*") {
        return None;
    }
    let (mut depth, mut end) = (0, at);
    while end < chars.len() {
        if starts_with(chars, end, "/*") {
            (depth, end) = (depth + 1, end + 2);
        } else if starts_with(chars, end, "*/") {
            (depth, end) = (depth - 1, end + 2);
            if depth == 0 {
                break;
            }
        } else {
            end += 1;
        }
    }
    Some(end)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn skip_raw_string(chars: &[char], at: usize) -> Option<usize> {
    if at > 0 && is_word(chars[at - 1]) {
        return None;
    }
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| starts_with(chars, at, prefix))?;
    let open = at + prefix.len();
    let hashes = chars[open..].iter().take_while(|c| **c == '#').count();
    if chars.get(open + hashes) != Some(&'"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let start = open + hashes + 1;
    let end = (start..chars.len()).find(|at| starts_with(chars, *at, &close));
    Some(end.map_or(chars.len(), |end| end + close.len()))
}

fn skip_string(chars: &[char], at: usize) -> Option<usize> {
    if chars[at] != '"' {
        return None;
    }
    let mut end = at + 1;
    while end < chars.len() && chars[end] != '"' {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    Some(end + 1)
}

/// A character literal; a lifetime is none.
fn skip_char(chars: &[char], at: usize) -> Option<usize> {
    if chars[at] != '\'' {
        return None;
    }
    if chars.get(at + 1) == Some(&'\\') {
        let from = at + 3;
        let end = chars.get(from..)?.iter().position(|c| *c == '\'')?;
        return Some(from + end + 1);
    }
    (chars.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

/// A word, `::`, or another single character of code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) text: String,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.chars().next().is_some_and(is_word)
    }
}

/// The tokens of [`code_only`].
pub(super) fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (at, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let bytes = match first {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            tokens.push(Token { line: at + 1, text: rest[..bytes].to_owned() });
            rest = rest[bytes..].trim_start();
        }
    }
    tokens
}

/// A path such as `crate::model::Gtid`, and the line it stands in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PathUse {
    pub(super) line: usize,
    pub(super) segments: Vec<String>,
}

impl PathUse {
    /// Whether these segments stand in it, one after the other.
    pub(super) fn has(&self, wanted: &[&str]) -> bool {
        self.segments.windows(wanted.len()).any(|window| window == wanted)
    }
}

/// Every path in the code; the groups of `use` are taken apart.
pub(super) fn paths(tokens: &[Token]) -> Vec<PathUse> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let next = tokens.get(at + 1);
        let tree = next.is_some_and(|next| next.is_word() || next.text == "::" || next.text == "{");
        if tokens[at].text == "use" && tree {
            at += 1;
            read_tree(tokens, &mut at, &[], &mut paths);
        } else if tokens[at].is_word() {
            let line = tokens[at].line;
            let segments = read_segments(tokens, &mut at);
            if segments.len() > 1 {
                paths.push(PathUse { line, segments });
            }
        } else {
            at += 1;
        }
    }
    paths
}

fn read_segments(tokens: &[Token], at: &mut usize) -> Vec<String> {
    let mut segments = Vec::new();
    while let Some(token) = tokens.get(*at).filter(|token| token.is_word()) {
        segments.push(token.text.clone());
        *at += 1;
        let more = tokens.get(*at + 1).is_some_and(Token::is_word);
        if tokens.get(*at).is_some_and(|token| token.text == "::") && more {
            *at += 1;
        } else {
            break;
        }
    }
    segments
}

/// Reads one use tree: a path, then nothing, `::*`, `::{...}` or `as name`.
fn read_tree(tokens: &[Token], at: &mut usize, above: &[String], paths: &mut Vec<PathUse>) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    if text(*at) == "::" {
        *at += 1;
    }
    let line = tokens.get(*at).map_or(0, |token| token.line);
    let mut segments = above.to_vec();
    segments.extend(read_segments(tokens, at));
    if text(*at) == "::" {
        *at += 1;
    }
    match text(*at) {
        "{" => {
            *at += 1;
            while !matches!(text(*at), "}" | "") {
                read_tree(tokens, at, &segments, paths);
                if text(*at) == "," {
                    *at += 1;
                }
            }
            *at += 1;
        }
        "*" => {
            segments.push("*".to_owned());
            paths.push(PathUse { line, segments });
            *at += 1;
        }
        "as" => {
            paths.push(PathUse { line, segments });
            *at += 2;
        }
        ";" | "," | "}" => paths.push(PathUse { line, segments }),
        _ => *at += 1,
    }
}

/// A function's first line, its name and its length in lines.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Function {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) lines: usize,
}

/// Every function with a body.
pub(super) fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut functions = Vec::new();
    for at in 0..tokens.len() {
        let Some(name) = tokens.get(at + 1).filter(|name| name.is_word()) else { continue };
        if tokens[at].text != "fn" {
            continue;
        }
        if let Some(end) = body_end(&tokens[at..]) {
            let (line, name) = (tokens[at].line, name.text.clone());
            functions.push(Function { line, name, lines: end - line + 1 });
        }
    }
    functions
}

/// The line of the brace that closes a function's body; `None` where it has none.
fn body_end(tokens: &[Token]) -> Option<usize> {
    let (mut brackets, mut braces) = (0, 0);
    for token in tokens {
        match token.text.as_str() {
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets -= 1,
            ";" if brackets == 0 && braces == 0 => return None,
            "{" => braces += 1,
            "}" if braces == 1 => return Some(token.line),
            "}" => braces -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_characters_are_no_code() {
        let text = "a // b\nc /* d /* e\n */ f */ g \"h\\\" // i\" j r#\"k \" l\"# m '\\'' n 'o' \
                    fn f<'a>(x: &'a str) b\"p\"";
        let words: Vec<String> = tokens(&code_only(text)).into_iter().map(|t| t.text).collect();
        let code = words.join(" ");
        assert_eq!(code, "a c g j m n fn f < ' a > ( x : & ' a str ) b");
        assert_eq!(code_only(text).lines().count(), text.lines().count());
    }

    #[test]
    fn groups_of_use_are_taken_apart() {
        let text = "use crate::{\n  model::{Gtid, self as m},\n  engine::*,\n};\nuse std::fs;\n\
                    fn f() -> impl A + use<> { let x = std::env::var(\"X\"); g::<Y>(); }";
        let found: Vec<(usize, String)> =
            paths(&tokens(text)).into_iter().map(|p| (p.line, p.segments.join("::"))).collect();
        let want = [
            (2, "crate::model::Gtid"),
            (2, "crate::model::self"),
            (3, "crate::engine::*"),
            (5, "std::fs"),
            (6, "std::env::var"),
        ];
        assert_eq!(found, want.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn functions_end_where_their_braces_do() {
        let text = "trait T { fn none(x: [u8; 2]); }\nfn f(\n x: u8,\n) {\n { }\n}\n\
                    type F = fn(u8) -> u8;\nfn g() {}";
        let found = functions(&tokens(text));
        let function = |line, name: &str, lines| Function { line, name: name.to_owned(), lines };
        assert_eq!(found, [function(2, "f", 5), function(8, "g", 1)]);
    }
}
