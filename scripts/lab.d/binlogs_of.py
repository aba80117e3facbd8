"""Takes the binlogs out of Debian packages: binlogs_of.py DIRECTORY PACKAGE.deb...

A binlog is what begins like one, whatever its name: in the open, packed with gzip, or in a zip
archive (MySQL keeps data directories of old versions so). Each goes to
DIRECTORY/PACKAGE_VERSION/PATH; a binlog in an archive to PATH/OF/ARCHIVE.zip/PATH.
"""

import gzip
import io
import subprocess
import sys
import tarfile
import urllib.parse
import zipfile
from pathlib import Path, PurePosixPath

# Plain, and encrypted by MySQL.
MAGIC = (b"\xfebin", b"\xfdbin")


def binlogs(path, data):
    """The binlogs that a file is or holds, as (path, bytes); a packed one stays packed."""
    if data.startswith(MAGIC):
        yield path, data
    elif data.startswith(b"\x1f\x8b"):
        try:
            begin = gzip.open(io.BytesIO(data)).read(4)
        except (OSError, EOFError):
            return  # damaged on purpose, as much in a test suite
        if begin in MAGIC:
            yield path, data
    elif data.startswith(b"PK\x03\x04"):
        archive = zipfile.ZipFile(io.BytesIO(data))
        for entry in archive.infolist():
            with archive.open(entry) as member:
                if member.read(4) not in MAGIC:
                    continue
            yield f"{path}/{entry.filename}", archive.read(entry)


def safe(path):
    """A path that stays below where it is put."""
    return PurePosixPath(*(part for part in PurePosixPath(path).parts if part not in ("/", "..")))


def main():
    directory, *debs = map(Path, sys.argv[1:])
    for deb in debs:
        name, version, _ = urllib.parse.unquote(deb.stem).split("_")
        place = directory / f"{name}_{version.replace(':', '.')}"
        unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as tree:
            for member in tree:
                if not member.isfile():
                    continue
                for path, data in binlogs(member.name, tree.extractfile(member).read()):
                    target = place / safe(path)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(data)
        if unpack.wait():
            sys.exit(f"binlogs_of: {deb} cannot be unpacked")


main()
