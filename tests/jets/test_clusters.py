"""Workers from a batch system or a running scheduler, described in one line or one file."""

import gc
import os

import pytest

from jetforge.errors import JetforgeError, RecipeError
from jetforge.jets.clusters import Opening, open_client

LOCAL = "type: local\njobs: 1\ncores: 1\nmemory: 2GB\npatience: 60\n"


# dask-jobqueue leaves the pipes of its local jobs to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_jobs_of_a_file_do_the_work(tmp_path):
    pytest.importorskip("dask_jobqueue", reason="needs the extra 'scale'")
    path = tmp_path / "jobs.yaml"
    path.write_text(LOCAL + f"local_directory: {tmp_path}\n")
    with open_client(1, str(path)) as client:
        assert client.submit(os.getpid).result() != os.getpid()
    gc.collect()


def test_a_client_that_is_opened_on_a_thread_is_closed(tmp_path):
    before = dict(os.environ)
    with Opening(1) as opening:
        client = opening()
        assert client.submit(os.getpid).result() != os.getpid()
    assert client.status == "closed"
    assert dict(os.environ) == before, "what Dask writes into the environment is taken back"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "describes no jobs"),
        ("- type", "describes no jobs"),
        ("type: [", "not valid YAML"),
        ("type: slrum\njobs: 2\n", "type 'slrum' is none of slurm, htcondor"),
        ("jobs: 2\n", "type 'None' is none of"),
        ("type: slurm\n", "jobs is 'None'"),
        ("type: slurm\njobs: many\n", "jobs is 'many'"),
        ("type: slurm\njobs: 0\n", "a number from 1"),
        ("type: local\njobs: 1\ncores: 1\nmemory: 2GB\npatience: soon\n", "patience is 'soon'"),
        ("type: local\njobs: 1\ncores: 1\nmemory: 2GB\nqueu: short\n", "no setting 'queu'; did you mean 'queue'"),
        ("type: slurm\njobs: 1\n", "has no line 'cores: ...'"),
    ],
)
def test_files_that_describe_no_jobs_are_refused(tmp_path, text, message):
    pytest.importorskip("dask_jobqueue", reason="needs the extra 'scale'")
    path = tmp_path / "jobs.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as raised, open_client(1, str(path)):
        pass
    assert str(raised.value).startswith(f"{path}:")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_and_a_scheduler_that_does_not_answer_are_named(tmp_path, monkeypatch):
    with pytest.raises(RecipeError, match=r"nothing\.yaml: cannot be read"), open_client(1, f"{tmp_path}/nothing.yaml"):
        pass
    with pytest.raises(JetforgeError, match="no Dask scheduler answers at somewhere"), open_client(1, "somewhere"):
        pass
