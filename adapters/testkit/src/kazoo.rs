//! The Python client, in a virtual environment that is made once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cache::{cache_dir, cache_lock, remove_dir};
use crate::error::while_doing;
use crate::program::Program;
use crate::run::{Output, run};
use crate::temp_dir::TempDir;

/// The environment variable that names a Python to use instead, one that can `import kazoo`.
pub const KAZOO_PYTHON_VARIABLE: &str = "ZK_SESSION_KAZOO_PYTHON";

const REQUIREMENT: &str = "kazoo==2.11.0";
const INSTALL_PYTHON: &str = "on Debian: apt-get install python3 python3-venv";
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);
const INSTALL_TIMEOUT: Duration = Duration::from_secs(300);

/// A Python that has [kazoo](https://kazoo.readthedocs.io), to run scripts with.
#[derive(Clone, Debug)]
pub struct Kazoo {
    python: PathBuf,
}

impl Kazoo {
    /// Finds or makes the Python: the one that `ZK_SESSION_KAZOO_PYTHON` names, or a virtual
    /// environment.
    ///
    /// The environment lies in cargo's target directory, and is kept. Tests may race to make it:
    /// one does, the others wait. Making it takes pip some seconds and a package index.
    ///
    /// # Errors
    /// Python or its `venv` is missing (the error names the Debian package), pip cannot install
    /// kazoo, or the Python that the variable names cannot import it.
    pub fn prepare() -> io::Result<Self> {
        if let Some(python) = std::env::var_os(KAZOO_PYTHON_VARIABLE) {
            let kazoo = Self { python: python.into() };
            kazoo.check().map_err(while_doing(format_args!(
                "{KAZOO_PYTHON_VARIABLE} is not a Python with kazoo"
            )))?;
            return Ok(kazoo);
        }
        let cache = cache_dir()?;
        let _lock = cache_lock(&cache, "kazoo.lock")?;

        let venv = cache.join(REQUIREMENT.replace("==", "-"));
        let kazoo = Self { python: venv.join("bin/python") };
        if kazoo.check().is_err() {
            kazoo.install(&venv)?;
            kazoo.check()?;
        }
        Ok(kazoo)
    }

    /// Runs a script with `sys.argv[1:] == args`, and kills it if it has not ended in time.
    ///
    /// How it ended is in the [`Output`]; see [`Output::success`].
    ///
    /// # Errors
    /// The script cannot be written or started, or had to be killed; then with what it wrote so
    /// far.
    pub fn run(&self, script: &str, args: &[&str], timeout: Duration) -> io::Result<Output> {
        let dir = TempDir::new()?;
        let path = dir.path().join("script.py");
        fs::write(&path, script)
            .map_err(while_doing(format_args!("cannot write {}", path.display())))?;
        run(Command::new(&self.python).arg("-u").arg(&path).args(args), "", timeout, INSTALL_PYTHON)
    }

    /// The script that lies in a file, to be run as often as one likes.
    pub fn program(&self, source: &Path) -> Program {
        let command = [self.python.as_os_str(), "-u".as_ref(), source.as_os_str()];
        Program::new(command, INSTALL_PYTHON)
    }

    /// The Python interpreter, for a test that wants to drive it by itself.
    pub fn python(&self) -> &Path {
        &self.python
    }

    fn check(&self) -> io::Result<()> {
        let mut python = Command::new(&self.python);
        run(python.args(["-c", "import kazoo.client"]), "", CHECK_TIMEOUT, "")?.success().map(drop)
    }

    fn install(&self, venv: &Path) -> io::Result<()> {
        remove_dir(venv)?;
        let mut python = Command::new("python3");
        python.args(["-m", "venv"]).arg(venv);
        let made = run(&mut python, "", INSTALL_TIMEOUT, INSTALL_PYTHON)?.success();
        made.map_err(while_doing(format_args!("`python3 -m venv` failed; {INSTALL_PYTHON}")))?;

        let mut pip = Command::new(&self.python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT]);
        let installed = run(&mut pip, "", INSTALL_TIMEOUT, INSTALL_PYTHON)?.success();
        let hint = format!(
            "`pip install {REQUIREMENT}` failed; {KAZOO_PYTHON_VARIABLE} may name a Python with it"
        );
        installed.map(drop).map_err(while_doing(hint))
    }
}
