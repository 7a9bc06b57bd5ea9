"""The folder that a sample goes to: nothing of anybody else's is touched."""

from pathlib import Path

from .network import FLOW_LOGS
from .writer import PARTIAL_SUFFIX

TRUTH_FILE = "truth.json"


def check_target(out: Path, *, overwrite: bool) -> None:
    """Makes sure that a sample can be written to `out`.

    Raises:
        FileExistsError: `out` holds Parquet files or a truth file, and `overwrite`
            is false or the Parquet files are not this generator's.
        NotADirectoryError: `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is not a folder")
    files = sorted(out.rglob("*.parquet"))
    if not overwrite and (files or (out / TRUTH_FILE).exists()):
        what = f"{len(files):,} Parquet files" if files else f"a {TRUTH_FILE}"
        raise FileExistsError(
            f"{out} already holds {what}; choose another folder, or pass --overwrite "
            "to replace the files of an earlier run"
        )
    foreign = [path for path in files if not _is_ours(path, out)]
    if foreign:
        raise FileExistsError(
            f"{out} holds {len(foreign):,} Parquet file(s) that were not generated, "
            f"{foreign[0].relative_to(out)} among them; choose another folder"
        )


def clear_target(out: Path) -> None:
    """Removes what earlier runs wrote to `out`, and the folders this leaves empty.

    Raises:
        OSError: A file cannot be removed.
    """
    for path in sorted((out / "AWSLogs").rglob("*.parquet")):
        if _is_ours(path, out):
            path.unlink()
            _remove_empty(path.parent, out)
    for flow_log in FLOW_LOGS:
        (out / f"{flow_log.flow_log_id}{PARTIAL_SUFFIX}").unlink(missing_ok=True)
    (out / TRUTH_FILE).unlink(missing_ok=True)


def _is_ours(path: Path, out: Path) -> bool:
    return path.is_relative_to(out / "AWSLogs") and any(
        f"_{flow_log.flow_log_id}_" in path.name for flow_log in FLOW_LOGS
    )


def _remove_empty(folder: Path, out: Path) -> None:
    while folder != out and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
