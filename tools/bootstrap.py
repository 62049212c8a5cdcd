#!/usr/bin/env python3
"""Make `.venv` from a lock file: `python3 tools/bootstrap.py demo|dev`. Standard library only, no pip needed beforehand.

Debian and Ubuntu ship Python without ensurepip (the package python3-venv) and often without pip. Then the environment
is made bare, and the pip of `requirements/pip.lock` is fetched from the index that pip's own settings name, checked
against its hash, and installs itself. Running this again is instant while the lock file is unchanged.

Written for any Python from 3.6 on, so that an old one can say what is missing, or hand over to a newer one.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

OLDEST = (3, 11)
TESTED = ("3.13", "3.12", "3.11")
SETS = ("demo", "dev")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
PIP = (PYTHON, "-m", "pip", "--disable-pip-version-check")


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in SETS:
        sys.exit("usage: python3 tools/bootstrap.py " + "|".join(SETS))
    require_new_python()
    wanted = sys.argv[1]
    if any(is_current(name) for name in SETS[SETS.index(wanted) :]):
        return
    started = time.time()
    say("Making the environment in .venv (Python %d.%d); the first time takes a minute or two." % sys.version_info[:2])
    make_venv()
    install(wanted)
    with open(stamp_path(wanted), "w") as stamp:
        stamp.write(fingerprint(wanted))
    warn_about_openmp()
    say("The environment is ready (%d s)." % (time.time() - started))


def say(text):
    print("bootstrap: " + text, flush=True)


def require_new_python():
    """Hand over to a newer Python on the PATH, or say what to install."""
    if sys.version_info[:2] >= OLDEST:
        return
    for version in TESTED:
        found = shutil.which("python" + version)
        if found:
            os.execv(found, [found] + sys.argv)
    sys.exit(
        "bootstrap: Bailiwick needs Python %d.%d or newer, and this is %s (%s).\n"
        "  Debian 12, Ubuntu 24.04 and newer: sudo apt-get install python3\n"
        "  Ubuntu 22.04:                      sudo apt-get install python3.11\n"
        "  If you have one elsewhere:         make PYTHON=/path/to/python3.11 env"
        % (OLDEST + (sys.version.split()[0], sys.executable))
    )


def lock_path(name):
    return os.path.join(ROOT, "requirements", name + ".lock")


def stamp_path(name):
    return os.path.join(VENV, ".installed-" + name)


def fingerprint(name):
    """Changes whenever the environment has to be brought up to date, or stands where it was not made."""
    seen = hashlib.sha256((VENV + sys.version).encode())
    for path in (lock_path(name), os.path.join(ROOT, "pyproject.toml"), os.path.abspath(__file__)):
        with open(path, "rb") as file:
            seen.update(file.read())
    return seen.hexdigest()


def is_current(name):
    try:
        with open(stamp_path(name)) as stamp:
            return stamp.read() == fingerprint(name) and os.access(PYTHON, os.X_OK)
    except OSError:
        return False


def works(*arguments):
    try:
        return subprocess.call([PYTHON, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def make_venv():
    """An environment with pip in it. One that works and has the right Python is kept."""
    version = "import sys; sys.exit(sys.version_info[:2] != %r or sys.prefix != %r)"
    if not works("-c", version % (tuple(sys.version_info[:2]), VENV)):
        import venv

        say("1/3 creating .venv")
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=False).create(VENV)
    if works("-m", "pip", "--version"):
        return
    if works("-c", "import ensurepip"):
        run(PYTHON, "-m", "ensurepip", "--upgrade", "--default-pip", quiet=True)
    else:
        install_pip()


def install(name):
    say("2/3 installing the packages of requirements/%s.lock" % name)
    with open(lock_path(name)) as file:
        total = len(set(re.findall(r"^([A-Za-z0-9._-]+)[^ ]*==", file.read(), re.MULTILINE)))
    follow(PIP + ("install", "--require-hashes", "-r", lock_path(name)), total)
    say("3/3 installing Bailiwick itself")
    run(*PIP, "install", "--no-deps", "--no-build-isolation", "--quiet", "-e", ROOT, quiet=True)


def follow(command, total):
    """Run pip, showing how far it is in one line (or, where that is not seen by a person, in a line every ten packages)."""
    terminal = sys.stdout.isatty()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    seen, said = 0, []
    for raw in process.stdout:
        line = raw.decode(errors="replace")
        said.append(line)
        if line.startswith(("Collecting ", "Requirement already satisfied: ")):
            seen += 1
            name = re.sub(r"^(Collecting|Requirement already satisfied:) ", "", line).split()[0]
            progress("fetching %d of %d: %s" % (seen, total, name), terminal, seen % 10 == 0)
        elif line.startswith("Installing collected packages"):
            progress("unpacking %d packages" % (line.count(",") + 1), terminal, True)
    if terminal:
        sys.stdout.write("\r\033[K")
    if process.wait():
        sys.stdout.write("".join(said))
        fail(command)


def progress(text, terminal, due):
    if terminal:
        sys.stdout.write("\r\033[K  " + text[:100])
        sys.stdout.flush()
    elif due:
        print("  " + text, flush=True)


def run(*command, **options):
    """Stop here, with the command's own words above, when it fails."""
    output = subprocess.PIPE if options.get("quiet") else None
    done = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT if output else None)
    text = done.communicate()[0]
    if done.returncode:
        sys.stdout.write((text or b"").decode(errors="replace"))
        fail(command)


def fail(command):
    sys.exit(
        "bootstrap: this failed: %s\n"
        "  Once the cause is gone, run the same again; it goes on where it stopped." % " ".join(command)
    )


def install_pip():
    """Without ensurepip: fetch the locked pip and let its wheel install itself."""
    version, hashes = locked_pip()
    say("this Python comes without pip: fetching pip %s" % version)
    with tempfile.TemporaryDirectory() as folder:
        wheel = os.path.join(folder, "pip-%s-py3-none-any.whl" % version)
        data = fetch_pip(os.path.basename(wheel))
        if hashlib.sha256(data).hexdigest() not in hashes:
            sys.exit(
                "bootstrap: the pip that the index sent is not the one of requirements/pip.lock; nothing was installed."
            )
        with open(wheel, "wb") as file:
            file.write(data)
        run(PYTHON, os.path.join(wheel, "pip"), "install", "--no-index", "--no-deps", "--quiet", wheel)


def locked_pip():
    with open(lock_path("pip")) as file:
        text = file.read()
    return re.search(r"^pip==(\S+)", text, re.MULTILINE).group(1), re.findall(r"sha256:([0-9a-f]{64})", text)


def fetch_pip(wheel):
    """The bytes of the wheel, from a folder of `find-links` or from the index."""
    from urllib.error import URLError
    from urllib.parse import urljoin

    for folder in pip_setting("find-links", "").split():
        path = os.path.join(folder.replace("file://", ""), wheel)
        if os.path.exists(path):
            with open(path, "rb") as file:
                return file.read()
    page = pip_setting("index-url", "https://pypi.org/simple").rstrip("/") + "/pip/"
    try:
        answer, kind, page = get(page)
        link = find_link(answer.decode(), kind, wheel)
        if link is None:
            sys.exit("bootstrap: the index %s does not offer %s." % (without_password(page), wheel))
        return get(urljoin(page, link))[0]
    except (URLError, OSError) as error:
        sys.exit(
            "bootstrap: cannot fetch pip from %s: %s\n"
            "  Without a network, name an index that can be reached: PIP_INDEX_URL=https://… make env\n"
            "  or install pip for this Python: sudo apt-get install python3-venv" % (without_password(page), error)
        )


def find_link(answer, kind, wheel):
    """The link to `wheel` on a page of the simple index, in its JSON (PEP 691) or its HTML (PEP 503) form."""
    if "json" in kind:
        links = [file["url"] for file in json.loads(answer)["files"] if file["filename"] == wheel]
    else:
        links = [
            link for link in re.findall(r"""href=["']([^"']+)""", answer) if link.split("#")[0].endswith("/" + wheel)
        ]
    return links[0].replace("&amp;", "&") if links else None


def get(url):
    """Bytes, content type and final address; with pip's certificate setting, and a password in the address sent as pip sends it."""
    import base64
    import ssl
    from urllib.parse import unquote, urlsplit, urlunsplit
    from urllib.request import Request, urlopen

    parts = urlsplit(url)
    headers = {"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.5, */*;q=0.1"}
    if parts.username:
        pair = unquote(parts.username) + ":" + unquote(parts.password or "")
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    trust = ssl.create_default_context(cafile=pip_setting("cert", "") or None)
    if parts.hostname in [host.split(":")[0] for host in pip_setting("trusted-host", "").split()]:
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    with urlopen(Request(plain, headers=headers), timeout=60, context=trust) as response:
        final = urlsplit(response.geturl())._replace(netloc=parts.netloc) if parts.username else response.geturl()
        address = final if isinstance(final, str) else urlunsplit(final)
        return response.read(), response.headers.get("Content-Type", ""), address


def without_password(url):
    return re.sub(r"//[^/@]*@", "//", url)


def pip_setting(name, default):
    """A setting of pip: environment before user before system, as pip itself reads them."""
    from configparser import ConfigParser, Error

    variable = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    if variable:
        return variable
    home = os.path.expanduser("~")
    config = os.environ.get("XDG_CONFIG_HOME", os.path.join(home, ".config"))
    places = ["/etc/xdg/pip/pip.conf", "/etc/pip.conf", os.path.join(home, ".pip", "pip.conf")]
    places += [os.path.join(config, "pip", "pip.conf"), os.environ.get("PIP_CONFIG_FILE", "")]
    parser = ConfigParser(interpolation=None)
    try:
        parser.read([place for place in places if place])
    except (Error, UnicodeDecodeError):
        return default
    for section in ("install", "global"):
        for key in (name, name.replace("-", "_")):
            if parser.has_option(section, key):
                return parser.get(section, key)
    return default


def warn_about_openmp():
    """LightGBM's wheel expects the system's OpenMP library."""
    if not works("-c", "import ctypes; ctypes.CDLL('libgomp.so.1')") and sys.platform.startswith("linux"):
        say("LightGBM needs the library libgomp.so.1, which is missing here: sudo apt-get install libgomp1")


if __name__ == "__main__":
    main()
