"""How the page gets into a package, and what the bundle may not contain."""

import json
import re
from pathlib import Path

import pytest
from benchmarks.page import BUNDLE_GOAL_BYTES, bundle_bytes
from hatch_build import BUNDLE, NODE_REQUIREMENT, PageHook, build_page
from tests.support.page_server import STATIC

ROOT = Path(__file__).resolve().parents[2]
UI = ROOT / "src" / "memmcp_server" / "web" / "ui"
NAMESPACE = "http://www.w3.org/2000/svg"


def hook(root: Path) -> PageHook:
    return PageHook(str(root), {}, None, None, str(root / "dist"), "wheel")  # type: ignore[arg-type]


@pytest.fixture
def no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


@pytest.mark.usefixtures("no_node")
def test_without_node_the_build_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=re.escape(f'pip install "{NODE_REQUIREMENT}"')):
        build_page(tmp_path)


@pytest.mark.usefixtures("no_node")
def test_without_node_the_wheel_of_a_checkout_brings_its_own() -> None:
    assert hook(ROOT).dependencies() == [NODE_REQUIREMENT]


@pytest.mark.usefixtures("no_node")
def test_an_editable_installation_builds_no_page(tmp_path: Path) -> None:
    hook(tmp_path).initialize("editable", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_node")
def test_a_source_distribution_with_its_page_needs_no_node(tmp_path: Path) -> None:
    static = tmp_path / "src" / "memmcp_server" / "web" / "static"
    static.mkdir(parents=True)
    for name in BUNDLE:
        (static / name).write_text("built", encoding="ascii")
    with pytest.raises(RuntimeError):
        hook(tmp_path).initialize("standard", {})
    (tmp_path / "PKG-INFO").write_text("Name: memmcp-server\n", encoding="ascii")
    hook(tmp_path).initialize("standard", {})
    assert hook(tmp_path).dependencies() == []


def test_the_lock_file_names_no_registry_and_pins_every_package_by_its_hash() -> None:
    lock = json.loads((UI / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if "integrity" not in package] == []


class TestBundle:
    @pytest.fixture(autouse=True)
    def _built(self) -> None:
        if not (STATIC / "index.html").is_file():
            pytest.fail("the page is not built: make setup", pytrace=False)

    def test_the_page_has_no_inline_script_style_or_handler(self) -> None:
        page = (STATIC / "index.html").read_text(encoding="utf-8")
        assert re.findall(r"<script(?![^>]*\ssrc=)[^>]*>", page) == []
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", page) == []

    def test_page_and_script_belong_together_by_hash(self) -> None:
        page = (STATIC / "index.html").read_text(encoding="utf-8")
        assert re.search(r'src="/static/app\.js\?v=[0-9a-f]{12}"', page)
        assert re.search(r'href="/static/app\.css\?v=[0-9a-f]{12}"', page)

    def test_nothing_names_another_host(self) -> None:
        for name in ("index.html", "app.js", "app.css"):
            text = (STATIC / name).read_text(encoding="utf-8")
            foreign = set(re.findall(r"(?:https?:|wss?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"'`)]*", text)) - {NAMESPACE}
            assert {url for url in foreign if not url.startswith(NAMESPACE)} == set(), name

    def test_markup_is_never_made_from_text(self) -> None:
        script = (STATIC / "app.js").read_text(encoding="utf-8")
        ours = "".join(path.read_text(encoding="utf-8") for path in (UI / "src").rglob("*.ts"))
        dangerous = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        assert re.findall(dangerous, ours) == []
        # uPlot writes its own axis and legend templates; it is handed numbers and our own words only.
        assert set(re.findall(dangerous, script)) <= {"innerHTML"}

    @pytest.mark.requirement("Q3")
    def test_what_a_load_fetches_is_small(self) -> None:
        packed = {name: small for name, (_, small) in bundle_bytes().items()}
        assert sum(packed.values()) <= BUNDLE_GOAL_BYTES, packed

    def test_the_licence_of_what_is_bundled_comes_along(self) -> None:
        legal = (STATIC / "app.js.LEGAL.txt").read_text(encoding="utf-8")
        assert "uPlot" in legal
        assert "Permission is hereby granted, free of charge" in legal
