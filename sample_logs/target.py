"""The folder that a sample goes to, in which all other files stay as they are."""

from pathlib import Path

from .inventory import FOLDER as INVENTORY
from .inventory import SNAPSHOT_SUFFIX
from .network import FLOW_LOGS
from .writer import PARTIAL_SUFFIX

TRUTH_FILE = "truth.json"


def prepare_target(out: Path, *, overwrite: bool) -> None:
    """Make the folder, and remove what an earlier run wrote to it.

    Raises:
        FileExistsError: `out` holds Parquet files or a truth file, and `overwrite`
            is false or the Parquet files are not this generator's.
        NotADirectoryError: `out` is a file.
        OSError: A file cannot be removed, or the folder cannot be made.
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
    foreign = [path.relative_to(out) for path in files if not _is_ours(path, out)]
    if foreign:
        raise FileExistsError(
            f"{out} holds {len(foreign):,} Parquet file(s) that were not generated, "
            f"{foreign[0]} among them; choose another folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    for path in files:
        path.unlink()
        folder = path.parent
        while folder != out and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent
    unfinished = [f"{flow_log.flow_log_id}{PARTIAL_SUFFIX}" for flow_log in FLOW_LOGS]
    for name in (*unfinished, TRUTH_FILE):
        (out / name).unlink(missing_ok=True)


def _is_ours(path: Path, out: Path) -> bool:
    if path.is_relative_to(out / INVENTORY):
        return path.name.endswith(SNAPSHOT_SUFFIX)
    return path.is_relative_to(out / "AWSLogs") and any(
        f"_{flow_log.flow_log_id}_" in path.name for flow_log in FLOW_LOGS
    )
