//! Base images made of this machine's own files, because tests pull nothing. Each file keeps the path that it has here.

use crate::engine::Engine;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Where Docker's own Rust images have it.
const CARGO_HOME: &str = "/usr/local/cargo";
const SHELL: [&str; 4] = ["sh", "echo", "sleep", "cat"];

/// A shell and a handful of programs, 3 MB.
pub(crate) fn import_shell(engine: &Engine, name: &str) {
    engine.docker_with(&["import", "-", name], |sink| {
        let mut tree = Tree::new(sink);
        SHELL.iter().for_each(|program| tree.program(&on_path(program)));
        tree.finish();
    });
}

/// What compiles and tests the service of a cargo workspace without a network: the tool chain, a linker, a static libc, and the crates
/// of its lock file. It stands in for the image that a Dockerfile names by digest.
pub(crate) fn import_rust(engine: &Engine, name: &str, workspace: &Path) {
    // Downloads what this machine's cargo does not have yet, which is nothing where the workspace was built before.
    printed(
        Command::new("cargo")
            .current_dir(workspace)
            .args(["fetch", "--quiet", "--locked", "--target", TARGET]),
    );
    let lock = fs::read_to_string(workspace.join("Cargo.lock")).unwrap();
    let sysroot = PathBuf::from(printed(Command::new("rustc").args(["--print", "sysroot"])));
    let env = [
        format!(
            "ENV PATH={}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            sysroot.join("bin").display()
        ),
        format!("ENV CARGO_HOME={CARGO_HOME}"),
        "ENV CARGO_NET_OFFLINE=true".to_owned(),
    ];
    let changes = env.iter().flat_map(|change| ["--change", change]);
    let args: Vec<&str> = ["import"].into_iter().chain(changes).chain(["-", name]).collect();
    engine.docker_with(&args, |sink| {
        let mut tree = Tree::new(sink);
        SHELL
            .iter()
            .chain(&["bash", "cp", "find", "mkdir", "mkfifo", "touch"])
            .for_each(|program| tree.program(&on_path(program)));
        rust(&mut tree, &sysroot);
        linker(&mut tree);
        crates(&mut tree, &locked(&lock));
        tree.finish();
    });
}

fn rust<W: Write>(tree: &mut Tree<W>, sysroot: &Path) {
    for program in ["cargo", "rustc", "rustdoc"] {
        tree.program(&sysroot.join("bin").join(program));
    }
    // Sanitizers are the only large part of the standard library that nothing here needs.
    tree.folder(&sysroot.join("lib/rustlib").join(TARGET), &|name| !name.starts_with("librustc-"));
}

fn linker<W: Write>(tree: &mut Tree<W>) {
    let gcc = |question: &str| PathBuf::from(printed(Command::new("gcc").arg(question)));
    tree.program(&on_path("cc"));
    tree.program(&on_path("ld"));
    let collect = gcc("-print-prog-name=collect2");
    tree.program(&collect);
    tree.program(&collect.with_file_name("lto-wrapper"));
    tree.program(&collect.with_file_name("liblto_plugin.so"));
    let objects = |name: &str| name.ends_with(".o");
    tree.files(gcc("-print-libgcc-file-name").parent().unwrap(), &|name| {
        objects(name) || name.starts_with("libgcc")
    });
    let libc = [
        "libc.",
        "libc_nonshared.",
        "libm.",
        "libm-",
        "libmvec.",
        "libpthread.",
        "libdl.",
        "librt.",
        "libutil.",
        "libgcc_s.",
    ];
    tree.files(gcc("-print-file-name=crt1.o").parent().unwrap(), &|name| {
        objects(name) || libc.iter().any(|library| name.starts_with(library))
    });
}

/// Crates, as far as this machine's cargo has them (those for other platforms it has not), and their entries in its copy of the index.
fn crates<W: Write>(tree: &mut Tree<W>, locked: &[(String, String)]) {
    let registry = cargo_home().join("registry");
    let copy = |tree: &mut Tree<W>, host: &Path| {
        if host.is_file() {
            tree.put(
                &Path::new(CARGO_HOME).join("registry").join(host.strip_prefix(&registry).unwrap()),
                host,
            );
        }
    };
    for index in folders_in(&registry.join("index")) {
        copy(tree, &index.join("config.json"));
        for (name, _) in locked {
            copy(tree, &index.join(".cache").join(index_entry(name)));
        }
    }
    for cache in folders_in(&registry.join("cache")) {
        for (name, version) in locked {
            copy(tree, &cache.join(format!("{name}-{version}.crate")));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "cargo's own rule, which cargo does not print")]
fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(|| std::env::home_dir().unwrap().join(".cargo"), PathBuf::from)
}

/// Names and versions in a Cargo.lock, of what comes from a registry.
fn locked(lock: &str) -> Vec<(String, String)> {
    let value = |line: &str, name: &str| {
        Some(line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
    };
    lock.split("[[package]]\n")
        .filter(|package| package.contains("\nsource = "))
        .filter_map(|package| {
            let mut lines = package.lines();
            Some((value(lines.next()?, "name")?, value(lines.next()?, "version")?))
        })
        .collect()
}

/// Where cargo keeps the entry of a crate below an index.
fn index_entry(name: &str) -> PathBuf {
    let name = name.to_lowercase();
    match name.len() {
        length @ (1 | 2) => [length.to_string(), name].iter().collect(),
        3 => ["3", &name[..1], &name].iter().collect(),
        _ => [&name[..2], &name[2..4], &name].iter().collect(),
    }
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

fn on_path(program: &str) -> PathBuf {
    // `type -P` passes over the shell's own `echo`.
    PathBuf::from(printed(Command::new("bash").args(["-c", "type -P \"$0\"", program])))
}

#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A file system on its way into `docker import`.
struct Tree<W: Write> {
    archive: tar::Builder<W>,
    inside: BTreeSet<PathBuf>,
}

impl<W: Write> Tree<W> {
    fn new(sink: W) -> Tree<W> {
        let mut tree = Tree { archive: tar::Builder::new(sink), inside: BTreeSet::new() };
        // `/bin` and `/lib` are links where the system has merged them into `/usr`.
        for name in ["bin", "sbin", "lib", "lib64"] {
            if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                header.set_mode(0o777);
                tree.archive.append_link(&mut header, name, target).unwrap();
            }
        }
        tree.directory(Path::new("/tmp"), 0o1777);
        tree
    }

    /// One file, links followed, at `inside`.
    fn put(&mut self, inside: &Path, host: &Path) {
        if !self.inside.contains(inside) {
            self.parents(inside);
            self.inside.insert(inside.to_owned());
            let name = inside.strip_prefix("/").unwrap();
            self.archive
                .append_path_with_name(host, name)
                .unwrap_or_else(|error| panic!("{}: {error}", host.display()));
        }
    }

    /// One file at its own path.
    fn file(&mut self, host: &Path) {
        let parent = host.parent().unwrap().canonicalize().unwrap();
        self.put(&parent.join(host.file_name().unwrap()), host);
    }

    /// A program or a library, and every library that the loader would find for it.
    fn program(&mut self, host: &Path) {
        self.file(host);
        let output = Command::new("ldd").arg(host).output().unwrap();
        for word in
            String::from_utf8_lossy(&output.stdout).split_whitespace().filter(|word| word.starts_with('/'))
        {
            self.file(Path::new(word.trim_end_matches(':')));
        }
    }

    /// The files directly in a folder whose names `wanted` accepts.
    fn files(&mut self, folder: &Path, wanted: &dyn Fn(&str) -> bool) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let entry = entry.unwrap();
            if entry.path().is_file() && wanted(&entry.file_name().to_string_lossy()) {
                self.file(&entry.path());
            }
        }
    }

    /// The same, with everything below it.
    fn folder(&mut self, folder: &Path, wanted: &dyn Fn(&str) -> bool) {
        self.files(folder, wanted);
        folders_in(folder).iter().for_each(|below| self.folder(below, wanted));
    }

    /// Without entries of their own the engine makes the folders above a file for root's eyes only.
    fn parents(&mut self, inside: &Path) {
        let above: Vec<&Path> =
            inside.ancestors().skip(1).filter(|folder| folder.parent().is_some()).collect();
        for folder in above.into_iter().rev() {
            if !self.inside.contains(folder) {
                self.directory(folder, 0o755);
            }
        }
    }

    fn directory(&mut self, inside: &Path, mode: u32) {
        self.inside.insert(inside.to_owned());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(mode);
        self.archive.append_data(&mut header, inside.strip_prefix("/").unwrap(), io::empty()).unwrap();
    }

    fn finish(self) {
        self.archive.into_inner().unwrap().flush().unwrap();
    }
}
