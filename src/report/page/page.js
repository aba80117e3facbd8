// Live updates and relative times. The page is whole without this: it only fetches itself again and
// takes over the parts that have changed.
"use strict";
(() => {
  const live = document.getElementById("live");
  const say = (text) => { if (live && live.textContent !== text) live.textContent = text; };

  const ages = () => {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const seconds = Math.round((now - Date.parse(time.dateTime)) / 1000);
      time.textContent = time.dataset.ago.replace("…", ago(seconds));
    }
  };
  const ago = (seconds) => {
    if (Number.isNaN(seconds)) return "?";
    if (seconds < 1) return "now";
    if (seconds < 120) return `${seconds} s ago`;
    if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
    if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
    return `${Math.round(seconds / 86400)} days ago`;
  };
  ages();
  setInterval(ages, 1000);
  if (!live) return;

  // What the user is at stays where it is: the focus, and what is folded open.
  const mark = (element) => element && (element.id || element.getAttribute("href"));
  const find = (root, what) => [...root.querySelectorAll("a, button, summary, [tabindex]")].find((of) => mark(of) === what);
  const take = (page) => {
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(old.id);
      if (!fresh) continue;
      const open = new Set([...old.querySelectorAll("details[open]")].map((of) => of.id));
      for (const of of fresh.querySelectorAll("details")) of.open = of.open || open.has(of.id);
      for (const time of fresh.querySelectorAll("time[data-ago]")) time.textContent = "";
      const plain = old.cloneNode(true);
      for (const time of plain.querySelectorAll("time[data-ago]")) time.textContent = "";
      if (plain.innerHTML === fresh.innerHTML) continue;
      const at = old.contains(document.activeElement) ? document.activeElement : null;
      if (at && at.closest("form")) continue;
      const where = mark(at);
      old.replaceChildren(...fresh.childNodes);
      const again = where && find(old, where);
      if (again) again.focus({ preventScroll: true });
    }
    document.title = page.title;
    ages();
  };

  let busy = false;
  let missed = false;
  const refresh = async () => {
    if (busy || document.hidden) { missed = true; return; }
    busy = true;
    missed = false;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (answer.redirected && new URL(answer.url).pathname === "/login") {
        say("not live: the token is asked for; load the page again");
      } else if (answer.ok) {
        take(new DOMParser().parseFromString(await answer.text(), "text/html"));
        say("live");
      } else {
        say(`not live: the page is old, twinlog answers ${answer.status}`);
      }
    } catch { say("not live: no connection; trying again"); }
    busy = false;
    if (missed && !document.hidden) refresh();
  };

  // A browser opens six connections to a site: a page that nobody looks at gives its own back.
  let events = null;
  const AGAIN_MS = 5000;
  const follow = () => {
    if (events || document.hidden) return;
    events = new EventSource("/events");
    events.addEventListener("change", refresh);
    events.onopen = refresh;
    events.onerror = () => {
      say("not live: no connection; trying again");
      // Where the answer was not a stream, the browser has given up.
      if (events.readyState === EventSource.CLOSED) {
        events = null;
        setTimeout(follow, AGAIN_MS);
      }
    };
  };
  const unfollow = () => { events?.close(); events = null; };
  document.addEventListener("visibilitychange", () => (document.hidden ? unfollow() : follow()));
  addEventListener("pagehide", unfollow);
  addEventListener("pageshow", follow);
  follow();
})();
