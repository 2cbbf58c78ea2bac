"""Alert rules and dashboard: each rule fires when it should, and all metrics in expressions exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagesvc.settings import Settings
from tests.support.scrape import page_of

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "imagesvc.json"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
# metrics of node-exporter, of Prometheus, and of the client library on systems that have /proc
FOREIGN = re.compile(r"node_filesystem_(avail|size)_bytes|process_\w+|up|ALERTS")
NAME = re.compile(r"\b(?:imagesvc|node|process)_\w+|\bup\b|\bALERTS\b")


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
    return found


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [rule["expr"] for rule in rules()] + shown


def names(expression: str) -> set[str]:
    """The metric names in an expression, without label values and ``by`` clauses."""
    bare = re.sub(r'"[^"]*"', "", expression)
    return set(NAME.findall(re.sub(r"\bby \([^)]*\)", "", bare)))


async def test_every_metric_in_rules_and_dashboard_is_exposed(settings: Settings) -> None:
    exposed = (await page_of(settings)).all_names()

    wanted = set().union(*map(names, expressions()))
    own = {name for name in wanted if not FOREIGN.fullmatch(name)}

    assert len(own) > 20
    assert own - exposed == set()


def test_every_alert_has_a_paragraph_in_the_runbook() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    runbook = page.partition("### When an alert fires\n")[2].partition("\n### ")[0]
    documented = set(re.findall(r"^#### (\w+)\n\n\w", runbook, re.MULTILINE))

    assert {rule["alert"] for rule in rules()} == documented
    assert {rule["annotations"]["runbook"] for rule in rules()} == {
        f"docs/operations.md#{alert.lower()}" for alert in documented
    }


@needs_promtool
def test_alerts_fire_when_they_should_and_not_otherwise() -> None:
    ended = promtool("test", "rules", "alerts_test.yml")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    tested = set(re.findall(r"alertname: (\w+)", (PROMETHEUS / "alerts_test.yml").read_text()))
    assert tested == {rule["alert"] for rule in rules()}


@needs_promtool
def test_prometheus_accepts_its_configuration() -> None:
    ended = promtool("check", "config", "prometheus.yml")

    assert ended.returncode == 0, ended.stdout + ended.stderr


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False
    )
