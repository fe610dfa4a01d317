//! Keeps up with what other host processes install and remove.

use std::collections::BTreeSet;

use semver::Version;

use crate::plugin::registry::{InstallError, Registry, unavailable};

impl Registry {
    /// Takes over what other processes have installed or removed since. What does not load here is left out, with an error in the log.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn catch_up(&self) -> Result<(), InstallError> {
        let there = self.versions().await?;
        if there == self.here() {
            return Ok(());
        }
        let mut left_out = self.installing.lock().await;
        // Asked again: this process may have installed or removed something while it waited.
        let (there, here) = (self.versions().await?, self.here());
        left_out.retain(|gone| there.contains(gone));
        for (name, version) in there.difference(&here) {
            if left_out.contains(&(name.clone(), version.clone())) {
                continue;
            }
            let Some(stored) = self.plugins.version(name, version).await.map_err(unavailable)? else { continue };
            match self.load(stored).await {
                Ok(()) => tracing::info!("plugin {name} {version} was installed by another process"),
                Err(error @ InstallError::Unavailable(_)) => return Err(error),
                Err(error) => {
                    tracing::error!("plugin {name} {version} is left out: {error}");
                    left_out.insert((name.clone(), version.clone()));
                }
            }
        }
        here.difference(&there).for_each(|gone| self.forget(gone));
        Ok(())
    }

    async fn versions(&self) -> Result<BTreeSet<(String, Version)>, InstallError> {
        Ok(self.plugins.versions().await.map_err(unavailable)?.into_iter().collect())
    }

    fn here(&self) -> BTreeSet<(String, Version)> {
        self.list().iter().map(|plugin| (plugin.manifest.name.clone(), plugin.manifest.version.clone())).collect()
    }
}
