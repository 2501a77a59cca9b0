"""Parts of a conversion are the same whoever makes them, also several threads of one worker."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.written import energyflow, lundnet

from jetforge.jets.convert_parts import PART_SECONDS, close_readers, make_part
from jetforge.jets.convert_plan import part_tasks, rows_of_runs, rows_of_shares
from jetforge.jets.sources import Source, look


@pytest.mark.parametrize("module", [energyflow, lundnet])
def test_threads_of_one_worker_do_not_disturb_each_other(module, tmp_path):
    written = module.write(tmp_path, 400)
    source, found = Source(written.path), look(str(written.path), None, written.settings)
    settings = {
        "options": dict(written.settings), "columns": list(found.columns), "fields": list(found.fields),
        "classes": max(len(found.classes), 1), "stated": True,
    }  # fmt: skip
    tasks = part_tasks([source], [found], [None], [rows_of_shares((1, 0, 0), 400)], 10, True, settings)
    alone = [make_part(task).data for task in tasks]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            order = np.random.default_rng(_).permutation(len(tasks))
            made = dict(zip(order.tolist(), pool.map(lambda i: make_part(tasks[i]).data, order.tolist()), strict=True))
            assert [made[i] for i in range(len(tasks))] == alone
    close_readers()
    assert PART_SECONDS > 0


def test_shares_and_runs_cover_every_row_once():
    for num_rows in (1, 7, 1000):
        ranges = rows_of_shares((1 / 3, 1 / 3, 1 / 3), num_rows)
        rows = [row for part in ranges for start, stop in part for row in range(start, stop)]
        assert rows == list(range(num_rows))
    assert rows_of_runs([(0, 5, 0), (5, 6, 2), (6, 9, 0)]) == [[(0, 5), (6, 9)], [], [(5, 6)]]
