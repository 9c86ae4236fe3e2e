"""The database as the product sees it: `open_store(settings)` gives a `Store`, and a store gives transactions."""

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pressroom.errors import BadInput, Permanent, PressroomError, Transient
from pressroom.settings import Settings
from pressroom.store import embedded

T = TypeVar("T")

CONNECT_WITHIN_S = 5  # a server on another continent answers in 1 s; beyond 5 it is down or a firewall swallows the packets
# A new connection takes 4 ms: five stay open, as many more come and go in a burst; of those for single statements, one for each of the
# ledger's threads stays.
POOL_SIZE, POOL_OVERFLOW, POOL_WAIT_S = 5, 5, 30
ALONE_SIZE, ALONE_OVERFLOW = 4, 4
# Keepalives: a host that vanished without a word is noticed after 30 + 3 x 10 s, not after the two hours of the system's default.
CONNECTION = {
    "connect_timeout": CONNECT_WITHIN_S,
    "application_name": "pressroom",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
# A server killed with -9 is back after 1 to 5 s, a managed one after a failover in about 10.
RETRY_FOR_S, RETRY_FIRST_WAIT_S, RETRY_LONGEST_WAIT_S = 15, 0.1, 2

# SQLSTATEs after which the same transaction may succeed. 08: connection; 40: deadlock, serialisation; 53300: too many connections;
# 55P03: lock not available; 57P: server shut down, crashed or starting.
PASSING = ("08", "40", "53300", "55P03", "57P01", "57P02", "57P03", "57P05")


def _is_no_row(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Row ")


# At DEBUG SQLAlchemy logs each row that it reads, answers and prompts with it; `hide_parameters` hides only what is sent.
logging.getLogger("sqlalchemy.engine.Engine").addFilter(_is_no_row)


class Store:
    """An open database. Threads may share it; every `transaction` is a connection of its own while it lasts."""

    def __init__(self, url: sa.URL, *, home: Path | None = None) -> None:
        """`home` is the folder whose embedded server this is, or None for a server that is not ours to start."""
        self.url = url
        self.home = home
        self.engine = self._engine(POOL_SIZE, POOL_OVERFLOW, pool_pre_ping=True)
        # Looking whether a connection still lives costs as much as a statement; whoever uses these does a lost one's statement again.
        self._alone = self._engine(ALONE_SIZE, ALONE_OVERFLOW, isolation_level="AUTOCOMMIT")
        self._one_at_a_time = threading.Lock()

    def _engine(self, pool_size: int, max_overflow: int, **more: Any) -> sa.Engine:
        engine = sa.create_engine(
            self.url,
            hide_parameters=True,  # an error or a log line would show drafts and prompts
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=POOL_WAIT_S,
            connect_args=CONNECTION,
            **more,
        )
        sa.event.listen(engine, "do_connect", lambda dialect, record, args, parameters: self._dial(parameters))
        return engine

    @property
    def name(self) -> str:
        """How messages call this database: never with its password."""
        if self.home:
            return f"the embedded PostgreSQL in {self.home.resolve() / 'postgres'}"
        host = self.url.host or self.url.query.get("host") or "localhost"
        return f"the PostgreSQL at {host}:{self.url.port or 5432}/{self.url.database or ''}"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that is committed at the end of the block and rolled back by an exception.

        Raises Transient when the database went away meanwhile: nothing of the block was kept, unless the connection was lost
        in the commit itself. Ids are deterministic, so that doing the block again is right in either case.
        """
        with self._explaining(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def retrying(self, work: Callable[[Session], T]) -> T:
        """What `work(session)` returns, in a transaction that is done again when the connection is lost, for about 15 s.

        `work` must be safe to repeat; an embedded server that died is started again on the way.
        """

        def once() -> T:
            with self.transaction() as session:
                return work(session)

        return repeated(once)

    def each_alone(self, work: Callable[[sa.Connection], T]) -> T:
        """As `retrying`, but every statement is committed by itself: a statement takes one round trip where a transaction takes three."""

        def once() -> T:
            with self._explaining(), self._alone.connect() as database:
                return work(database)

        return repeated(once)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            if known := self.explained(error):
                raise known from error
            raise

    def dedicated_connection(self, *, start_server: bool = True, database: str | None = None) -> psycopg.Connection:
        """A connection outside of the pool, in autocommit: for a lock that lives as long as its holder, or for another `database`.

        Raises psycopg.Error. With `start_server=False` an embedded server that is down stays down.
        """
        parameters = {**self.parameters(), **CONNECTION}
        if database:
            parameters["dbname"] = database
        connection = self._dial(parameters) if start_server else psycopg.connect(**parameters)
        connection.autocommit = True
        return connection

    def parameters(self) -> dict[str, Any]:
        """What libpq needs to connect, the password included."""
        return dict(self.engine.dialect.create_connect_args(self.url)[1])

    def _dial(self, parameters: dict[str, Any]) -> psycopg.Connection:
        """A new connection. An embedded server that refuses is started again, and called where it listens now."""
        try:
            return psycopg.connect(**parameters)
        except psycopg.OperationalError:
            if self.home is None:
                raise
        with self._one_at_a_time:
            now = sa.make_url(embedded.ensure_server(self.home)).query
        return psycopg.connect(**(parameters | {"host": now["host"], "port": now["port"]}))

    def explained(self, error: sa.exc.SQLAlchemyError | psycopg.Error) -> PressroomError | None:
        """`error` as one of ours when it is the database's state and not our statement, else None."""
        if isinstance(error, sa.exc.TimeoutError):
            return Transient(f"{self.name}: all connections that this process may have are in use for {POOL_WAIT_S} s")
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        if not isinstance(cause, psycopg.Error):
            return None
        state = cause.sqlstate or ""
        said = " ".join(str(cause).split())
        if state == "53100":
            where = f"PRESSROOM_HOME: the disk of {self.home}" if self.home else f"{self.name}: its disk"
            return Permanent(f"{where} is full; free some space and run again")
        if state in ("28P01", "28000") or _has(said, "authentication failed", "no password supplied", 'role "'):
            return BadInput(f"PRESSROOM_DATABASE_URL: {self.name} refuses user {self.url.username or 'of this system'} or the password")
        if state == "3D000" or ("does not exist" in said and _has(said, 'database "')):
            return BadInput(f"PRESSROOM_DATABASE_URL: {self.name} has no database {self.url.database!r}; create it first")
        if not state and (bad := re.search(r'invalid (connection option "|port number|[a-z_]+ value:).*', said)):
            return BadInput(f"PRESSROOM_DATABASE_URL: {bad[0]}")
        if state.startswith(PASSING) or (not state and isinstance(cause, psycopg.OperationalError)):
            setting = "" if self.home else "PRESSROOM_DATABASE_URL: "
            return Transient(f"{setting}{self.name} does not answer ({said})")
        return None

    def close(self) -> None:
        """Gives the connections back. The embedded server stays up for others until it has been idle."""
        self.engine.dispose()
        self._alone.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def repeated(attempt: Callable[[], T]) -> T:
    """The result of `attempt`, which is called again after each Transient for about 15 s."""
    with suppress(Transient):  # as nearly always: to set up the policy takes half as long as a statement
        return attempt()
    import tenacity

    policy = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Transient),
        stop=tenacity.stop_after_delay(RETRY_FOR_S),
        wait=tenacity.wait_random_exponential(multiplier=RETRY_FIRST_WAIT_S, max=RETRY_LONGEST_WAIT_S),
        reraise=True,
    )
    return policy(attempt)


def _has(said: str, *phrases: str) -> bool:
    """A refused connection carries no SQLSTATE, only its words."""
    return any(phrase in said for phrase in phrases)


def open_store(settings: Settings) -> Store:
    """The store that the settings name, its server running and its schema at the newest revision.

    Raises Transient when the server does not answer, BadInput when URL, user, password, database or home is wrong,
    Permanent when the database was made by a newer version of the code.
    """
    from pressroom.store import migrate

    store = connect(settings)
    try:
        migrate.ensure_current(store)
    except BaseException:
        store.close()
        raise
    return store


def connect(settings: Settings) -> Store:
    """As `open_store`, with the schema as it is found."""
    if settings.database_url is None:
        home = settings.home.resolve()
        return Store(sa.make_url(embedded.ensure_server(home)), home=home)
    try:
        url = sa.make_url(settings.database_url.get_secret_value())
    except (sa.exc.ArgumentError, ValueError):
        raise BadInput("PRESSROOM_DATABASE_URL: expected postgresql://user:password@host:port/database") from None
    if "@" in (url.host or ""):  # a part of the password would be shown as the host
        raise BadInput("PRESSROOM_DATABASE_URL: more than one @; write one in a password as %40")
    return Store(url.set(drivername="postgresql+psycopg"))
