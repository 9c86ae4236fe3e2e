"""Keywords of a site: imported once, newest figures, known from a day on."""

import datetime as dt

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pressroom.records import Cluster, stable_id
from pressroom.store.engine import Store
from pressroom.store.keywords import Imported, clustering_of, import_keywords, keywords_on, newest_clusters, save_clusters
from tests.samples import DAY, SITE, keyword_file, site_applied

NEXT = DAY + dt.timedelta(days=1)


def imported(store: Store, *phrases: str, day: dt.date = DAY, **figures: object) -> Imported:
    with store.transaction() as session:
        site_applied(session)
        file = keyword_file(*phrases, **figures)
        data = repr((phrases, figures)).encode()
        return import_keywords(session, SITE, file, name="keywords.csv", data=data, day=day, run_id="run")


def volumes(store: Store, day: dt.date) -> dict[str, int | None]:
    with store.transaction() as session:
        return {keyword.phrase: keyword.volume for keyword in keywords_on(session, SITE.id, day)}


def test_the_same_file_twice_brings_nothing_new(store: Store) -> None:
    assert imported(store, "espresso", "Moka Pot").new == 2
    assert imported(store, "espresso", "Moka Pot").new == 0
    assert len(volumes(store, DAY)) == 2


def test_the_newest_days_figures_stand_whatever_order_files_come_in(store: Store) -> None:
    imported(store, "espresso", day=NEXT, volume=200)
    imported(store, "espresso", day=DAY, volume=100)
    assert volumes(store, NEXT) == {"espresso": 200}


def test_a_file_without_a_figure_leaves_the_known_one_alone(store: Store) -> None:
    imported(store, "espresso", volume=100)
    imported(store, "espresso", day=NEXT)
    assert volumes(store, NEXT) == {"espresso": 100}


def test_a_day_knows_only_what_had_come_by_then(store: Store) -> None:
    imported(store, "espresso")
    imported(store, "moka pot", day=NEXT)
    assert set(volumes(store, DAY)) == {"espresso"}
    assert set(volumes(store, NEXT)) == {"espresso", "moka pot"}
    imported(store, "moka pot", day=DAY, volume=5)
    assert set(volumes(store, DAY)) == {"espresso", "moka pot"}, "imported for an earlier day, it is known from that day on"


def test_a_row_keeps_the_file_and_row_that_brought_its_newest_figures(store: Store) -> None:
    imported(store, "espresso", "moka pot")
    with store.transaction() as session:
        rows = {keyword.phrase: (keyword.source, keyword.source_row) for keyword in keywords_on(session, SITE.id, DAY)}
    assert rows == {"espresso": ("keywords.csv", 2), "moka pot": ("keywords.csv", 3)}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, unique=True), min_size=1, max_size=4), data=st.data())
def test_files_come_to_the_same_state_in_any_order(store: Store, files: list[list[str]], data: st.DataObject) -> None:
    def states(order: list[int]) -> list[dict[str, int | None]]:
        with store.transaction() as session:
            for table in ("keywords", "keyword_imports"):
                session.connection().exec_driver_sql(f"DELETE FROM {table}")
        for position in order:
            imported(store, *files[position], day=DAY + dt.timedelta(days=position), volume=position)
        return [volumes(store, DAY + dt.timedelta(days=position)) for position in range(len(files))]

    order = data.draw(st.permutations(range(len(files))))
    assert states(order) == states(list(range(len(files))))


def test_a_clustering_is_booked_once_for_one_keyword_state(store: Store) -> None:
    imported(store, "espresso", "moka pot")

    def cluster(name: str) -> Cluster:
        return Cluster(id=stable_id("c", name), name=name, head="espresso", keywords=("espresso", "moka pot"), volume=3)

    with store.transaction() as session:
        for name in ("Espresso", "Another"):
            save_clusters(session, SITE, [cluster(name)], input_version="v1", day=DAY, run_id="run")
        assert clustering_of(session, SITE.id, "v1") == (cluster("Espresso"),)
        assert newest_clusters(session, SITE.id) == (cluster("Espresso"),)
        assert clustering_of(session, SITE.id, "v2") == ()
