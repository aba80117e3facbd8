"""What the masters are given to do: writers that never rest, and conflicts whose number is known."""

import threading
import time

from masters import NODES, OTHER, Session, Trouble

WRITERS = 4          # connections to each master
BATCH = 50           # transactions of one CALL
# A writer's rows stay so many transactions; the table does not grow.
ROWS_KEPT = 2000
STOCK = 4000
# What a master writes faster than its peer can apply says nothing about twinlog. So of its writers
# one more rests at each look at which the other master is so many seconds behind, all where it is
# far behind, and one fewer where it is near.
LAG_NEAR, LAG_BEHIND, LAG_FAR = 0.5, 1.0, 3.0
CONFLICT_SECONDS = 10
CONTESTED = 20000


def tables():
    text = "CREATE DATABASE soak; GRANT SELECT ON soak.* TO twinlog@'127.0.0.1';\n"
    for node in NODES:
        text += f"""
CREATE TABLE soak.{node}_orders (writer SMALLINT NOT NULL, id BIGINT NOT NULL,
  customer INT NOT NULL, state VARCHAR(20) NOT NULL, amount DECIMAL(10,2), note VARCHAR(200),
  at DATETIME(6), PRIMARY KEY (writer, id)) ENGINE=InnoDB;"""
    return text + f"""
CREATE TABLE soak.stock (id INT NOT NULL PRIMARY KEY, pieces BIGINT NOT NULL) ENGINE=InnoDB;
CREATE TABLE soak.contested (id INT NOT NULL PRIMARY KEY, v INT NOT NULL) ENGINE=InnoDB;
CREATE TABLE soak.numbers (n INT NOT NULL PRIMARY KEY);
INSERT INTO soak.numbers VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
INSERT INTO soak.contested SELECT 1 + a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n, 0
  FROM soak.numbers a, soak.numbers b, soak.numbers c, soak.numbers d, soak.numbers e
  WHERE e.n < {CONTESTED // 10000};
INSERT INTO soak.stock SELECT id, 0 FROM soak.contested WHERE id <= {STOCK};
""" + "".join(procedure(node) for node in NODES)


def procedure(node):
    """Transactions of one writer: its own rows of its master's table, and, in a table that both
    masters write to, rows of its master: odd ids are a's."""
    remainder = 1 if node == "a" else 0
    share = STOCK // 2 // WRITERS
    return f"""
DELIMITER //
CREATE PROCEDURE soak.{node}_write(w INT, first BIGINT, transactions INT)
BEGIN
  DECLARE n BIGINT DEFAULT first;
  SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
  WHILE n < first + transactions DO
    START TRANSACTION;
    INSERT INTO soak.{node}_orders VALUES
      (w, 2 * n, n % 5000, 'new', n / 7, REPEAT(CHAR(97 + n % 26), 60), NOW(6)),
      (w, 2 * n + 1, n % 4999, 'new', n / 3, REPEAT(CHAR(97 + n % 25), 80), NOW(6));
    UPDATE soak.stock SET pieces = pieces + 1
      WHERE id = 2 * (w * {share} + n % {share}) + 2 - {remainder};
    IF n >= {ROWS_KEPT} THEN
      UPDATE soak.{node}_orders SET state = 'paid', amount = amount + 1
        WHERE writer = w AND id = 2 * (n - {ROWS_KEPT // 2});
      DELETE FROM soak.{node}_orders
        WHERE writer = w AND id IN (2 * (n - {ROWS_KEPT}), 2 * (n - {ROWS_KEPT}) + 1);
    END IF;
    COMMIT;
    SET n = n + 1;
  END WHILE;
END//
DELIMITER ;
"""


class Load:
    """The writers of both masters. `check` tells whether one has failed."""

    def __init__(self, masters):
        self.masters = masters
        self.ends = threading.Event()
        self.gates = {node: [threading.Event() for _ in range(WRITERS)] for node in NODES}
        self.active = dict.fromkeys(NODES, WRITERS)
        self.rests = dict.fromkeys(NODES, 0.0)
        self.throttled_at = None
        self.trouble = None
        self.threads = []
        self.sessions = []

    def start(self):
        for node in NODES:
            for writer in range(WRITERS):
                self.gates[node][writer].set()
                session = Session(self.masters, node)
                self.sessions.append(session)
                thread = threading.Thread(target=self.write, args=(session, writer), daemon=True)
                self.threads.append(thread)
                thread.start()

    def write(self, session, writer):
        n = 0
        try:
            while not self.ends.is_set():
                if self.gates[session.node][writer].wait(0.1):
                    session.ask(f"CALL soak.{session.node}_write({writer}, {n}, {BATCH})")
                    n += BATCH
        except Trouble as trouble:
            self.trouble = self.trouble or trouble

    def check(self):
        if self.trouble and not self.ends.is_set():
            raise self.trouble

    def throttle(self):
        """Has writers rest or go on, by how far the other master is behind."""
        now = time.monotonic()
        since = now - (self.throttled_at or now)
        self.throttled_at = now
        for node in NODES:
            self.rests[node] += since * (1 - self.active[node] / WRITERS)
            lag, active = self.masters.lag[node], self.active[node]
            if lag > LAG_FAR:
                active = 0
            elif lag > LAG_BEHIND:
                active -= 1
            elif lag < LAG_NEAR:
                active += 1
            self.active[node] = max(0, min(WRITERS, active))
            for writer, gate in enumerate(self.gates[node]):
                if writer < self.active[node]:
                    gate.set()
                else:
                    gate.clear()

    def finish(self):
        """Ends the writers after their last transaction."""
        self.ends.set()
        for thread in self.threads:
            thread.join(60)
        self.close()

    def close(self):
        self.ends.set()
        for session in self.sessions:
            session.close()


class Conflicts:
    """Conflicts that are sure to be ones, each healed before the next is made."""

    def __init__(self, masters):
        self.masters = masters
        self.sessions = {node: Session(masters, node) for node in NODES}
        self.made = 0
        self.healed = 0
        self.heal_after = None

    def make(self):
        """Both masters write the same row, neither with the other's write.

        Each holds the row's lock until both have written. So the copy of a's write waits on b
        until b's own has been committed, and that of b's begins after a's is committed.
        """
        self.made += 1
        for value, node in enumerate(NODES, 1):
            self.sessions[node].ask("START TRANSACTION")
            self.sessions[node].ask(f"UPDATE soak.contested SET v = {value} WHERE id = {self.made}")
        for node in NODES:
            self.sessions[node].ask("COMMIT")
        positions = {n: self.masters.position(self.sessions[n]) for n in NODES}
        self.heal_after = {node: positions[node][node] for node in NODES}

    def heal(self):
        """Makes the row equal again, once both have applied the other's write; tells whether."""
        if self.heal_after is None:
            return True
        applied = {n: self.masters.position(self.sessions[OTHER[n]])[n] for n in NODES}
        if any(applied[node] < self.heal_after[node] for node in NODES):
            return False
        self.sessions["a"].ask(f"UPDATE soak.contested SET v = 3 WHERE id = {self.made}")
        self.healed += 1
        self.heal_after = None
        return True

    def close(self):
        for session in self.sessions.values():
            session.close()
