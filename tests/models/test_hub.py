"""The way from a hub to a model, through the real client and a hub on loopback."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub import serve
from huggingface_hub import constants, file_download, hf_api
from warm import Shell

from mechcheck.base.errors import ModelError
from mechcheck.base.paths import data_dir
from mechcheck.models.loading import fetch_model, forget_models, load_model, provenance

EMBEDDED = data_dir("fixtures") / "models" / "names-gpt2-seed4"
OTHER = data_dir("fixtures") / "models" / "names-gpt2-seed0"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that serves an embedded model, an empty cache, and a client that knows of both and of nothing else."""
    with serve() as running:
        running.main = running.add("lab/names", EMBEDDED, "v1")
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(file_download, "HF_HUB_CACHE", str(tmp_path / "cache"), raising=False)
        monkeypatch.setattr(hf_api.api, "endpoint", running.url)
        forget_models()
        yield running
        forget_models()


def test_a_model_is_fetched_and_then_used_offline(hub):
    assert fetch_model("lab/names") == hub.main
    fetched = len(hub.asked)
    model = load_model("lab/names", offline=True)
    assert len(hub.asked) == fetched
    known = provenance(model)
    assert (known.name, known.revision) == ("lab/names", hub.main)
    assert known.weights_sha256 == provenance(load_model("names-gpt2-seed4")).weights_sha256
    assert not any("README" in request for request in hub.asked)


def test_a_revision_is_pinned(hub):
    later = hub.add("lab/names", OTHER)
    assert fetch_model("lab/names@v1") == hub.main
    assert fetch_model("lab/names") == later
    pinned, newest = load_model("lab/names@v1", offline=True), load_model("lab/names", offline=True)
    assert provenance(pinned).revision == hub.main
    assert provenance(newest).revision == later
    assert provenance(pinned).weights_sha256 != provenance(newest).weights_sha256
    with pytest.raises(ModelError, match="give one of them"):
        load_model("lab/names@v1", revision="main")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lab/nothing", r"cannot load 'lab/nothing': .* the hub answered: 40[14]"),
        ("lab/names@v9", r"cannot load 'lab/names@v9': .*mechcheck prefetch lab/names@v9"),
        ("lab/secret", r"cannot load 'lab/secret': .* the hub answered: 403"),
    ],
)
def test_what_cannot_be_had_says_why(hub, name, message):
    hub.add("lab/secret", OTHER)
    hub.gated.add("lab/secret")
    with pytest.raises(ModelError, match=message):
        load_model(name)


def test_offline_without_a_copy_says_what_to_do(hub):
    with pytest.raises(ModelError, match=r"not in the local cache and this run is offline\. Fetch it once .*mechcheck prefetch lab/names"):
        load_model("lab/names", offline=True)
    assert hub.asked == []


def test_an_interrupted_download_is_taken_up_again(hub):
    hub.break_after = 1000
    try:
        fetch_model("lab/names")
    except ModelError:
        fetch_model("lab/names")
    assert hub.break_after is None
    assert provenance(load_model("lab/names", offline=True)).weights_sha256 == provenance(load_model("names-gpt2-seed4")).weights_sha256


def test_damaged_weights_are_refused(hub, tmp_path):
    fetch_model("lab/names")
    stored = next(Path(tmp_path / "cache").rglob("*.safetensors")).resolve()
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors of 'lab/names' in the local cache is damaged.*fetch it again"):
        load_model("lab/names", offline=True)


def test_only_pickles_on_the_hub_are_refused(hub, tmp_path):
    unsafe = tmp_path / "unsafe"
    shutil.copytree(EMBEDDED, unsafe)
    (unsafe / "model.safetensors").rename(unsafe / "pytorch_model.bin")
    hub.add("lab/unsafe", unsafe)
    with pytest.raises(ModelError, match=r"no \*\.safetensors weights"):
        load_model("lab/unsafe")
    assert not any("pytorch_model.bin" in request for request in hub.asked if request.startswith("GET"))


def test_prefetch_is_a_command(tmp_path):
    """In a process of its own, where the endpoint is an environment variable, as with a mirror."""
    with serve() as hub:
        commit = hub.add("lab/names", EMBEDDED)
        environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-m", "mechcheck.cli", "prefetch", "lab/names"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"lab/names: {commit}\n"
    assert list(tmp_path.rglob("model.safetensors"))


CLAIMS = """
from mechcheck import claim
import pytest

@claim("of the model", models=["lab/names"], decoy={"model": "lab/other"}, id="a")
def test_a(model, check): ...

@claim("of another", models=["lab/none"], id="b")
def test_b(model, check): ...

@pytest.mark.skip
@claim("not now", models=["lab/names"], decoy={"model": "lab/none"}, id="c")
def test_c(model, check): ...

@claim("about two", models={"names-gpt2-seed4": "lab/other"}, id="e")
def test_e(model, partner, check): ...

@claim("embedded", models=["names-gpt2-seed0"], positive_control={"model": "names-gpt2-seed1"}, expect="refuted", id="d")
def test_d(model, check): ...
"""


def test_what_a_selection_of_claims_needs_is_fetched(tmp_path):
    """The models they run on and those their contrasts name; nothing for what is skipped, deselected or embedded."""
    (tmp_path / "test_claims.py").write_text(CLAIMS)

    def prefetch(*arguments):
        return shell.run(shlex.join(["mechcheck", "prefetch", *arguments]), tmp_path)

    with serve() as hub:
        names, other = hub.add("lab/names", EMBEDDED), hub.add("lab/other", OTHER)
        shell = Shell(tmp_path, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path), HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
        done = prefetch("--claims", ".", "--mech-model", "lab/names", "--mech-model", "names-gpt2-seed0")
        assert done.returncode == 0, done.stdout
        assert done.stdout.splitlines()[-2:] == [f"lab/names: {names}", f"lab/other: {other}"]
        done = prefetch("--claims", ".", "-k", "test_e")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"lab/other: {other}"), done.stdout
        asked = len(hub.asked)
        done = prefetch("--claims", "test_claims.py", "-k", "test_d", "--mech-model", "names-gpt2-seed0")
        assert (done.returncode, len(hub.asked)) == (0, asked), done.stdout
        for wrong, message in (
            ((), "prefetch needs models, or --claims PATH... to fetch what they need"),
            (("--claims", ".", "-k", "nothing"), "no claims are selected by . -k nothing"),
            (("--claims", "nowhere.py"), "the claims cannot be collected"),
            (("--claims", ".", "-k", "test_b", "--mech-model", "lab/none"), "cannot load 'lab/none'"),
        ):
            done = prefetch(*wrong)
            assert done.returncode == 2
            assert message in done.stdout
        shell.close()
