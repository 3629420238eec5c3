//! A folder that changes as the kubelet changes a mounted Secret.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

/// `name -> ..data/name`, `..data -> ..1`, and a new numbered folder for each change of the Secret.
pub(crate) struct Volume {
    folder: TempDir,
    generation: u32,
}

impl Volume {
    pub(crate) fn new(files: &[(&str, &[u8])]) -> io::Result<Self> {
        let mut volume = Self { folder: TempDir::new()?, generation: 0 };
        volume.replace(files)?;
        Ok(volume)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path as a variable takes it.
    pub(crate) fn text(&self) -> &str {
        self.path().to_str().unwrap_or_default()
    }

    /// Swaps all files at once, and takes the links of those away that are no more.
    pub(crate) fn replace(&mut self, files: &[(&str, &[u8])]) -> io::Result<()> {
        let old = self.path().join(format!("..{}", self.generation));
        self.generation += 1;
        let new = format!("..{}", self.generation);
        fs::create_dir(self.path().join(&new))?;
        for (name, content) in files {
            fs::write(self.path().join(&new).join(name), content)?;
        }
        symlink(&new, self.path().join("..data_tmp"))?;
        fs::rename(self.path().join("..data_tmp"), self.path().join("..data"))?;
        for (name, _) in files {
            let link = self.path().join(name);
            if link.symlink_metadata().is_err() {
                symlink(Path::new("..data").join(name), link)?;
            }
        }
        for entry in fs::read_dir(self.path())? {
            let link = entry?.path();
            if !link.exists() {
                fs::remove_file(link)?;
            }
        }
        match fs::remove_dir_all(old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
