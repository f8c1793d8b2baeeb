from __future__ import annotations

import subprocess
import sys
import types

import pytest

from tumor_ratio.models import torchvision_shim


def test_timm_imports_in_a_fresh_process_whatever_torchvision_is_installed():
    code = (
        "from tumor_ratio.models.torchvision_shim import ensure_torchvision\n"
        "first = ensure_torchvision()\n"
        "assert ensure_torchvision() is first\n"
        "import timm, torchvision\n"
        "assert torchvision.ops.nms\n"
        "assert timm.create_model('test_resnet', num_classes=0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_nothing_is_declared_where_torchvision_imports_natively(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setattr(torchvision_shim, "_declare_operators", lambda: pytest.fail("declared"))
    assert torchvision_shim.ensure_torchvision.__wrapped__() is False


def test_another_failure_of_torchvision_is_passed_on(monkeypatch, tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('broken in another way')")
    for name in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RuntimeError, match="broken in another way"):
        torchvision_shim.ensure_torchvision.__wrapped__()
