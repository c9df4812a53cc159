//! Drives on the file systems of removable media: FAT32 and exFAT in disk images, mounted with FUSE.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::{Site, require, run};

const MEGABYTE: usize = 1 << 20;
const MIRROR: &str = "apiVersion: airlock.dev/v1alpha1
kind: MirrorConfig
metadata: {name: stick}
sources: [{files: [{path: payload}]}]
";

/// A file system in a disk image, unmounted on drop.
struct Medium {
    folder: PathBuf,
    device: Option<String>,
}

impl Medium {
    fn fat32(site: &Site) -> Self {
        let (image, folder) = Self::image(site, "fat32");
        run("mkfs.vfat", &["-F", "32", &image]);
        run("fusefat", &["-o", "rw+", &image, folder.to_str().unwrap()]);
        Self { folder, device: None }
    }

    fn exfat(site: &Site) -> Self {
        let (image, folder) = Self::image(site, "exfat");
        run("mkfs.exfat", &[&image]);
        let device = run("losetup", &["--find", "--show", &image]).trim().to_owned();
        let medium = Self { folder, device: Some(device) };
        medium.mount_exfat();
        medium
    }

    fn image(site: &Site, name: &str) -> (String, PathBuf) {
        let (image, folder) = (site.path(&format!("{name}.img")), site.path(name));
        std::fs::create_dir(&folder).unwrap();
        std::fs::File::create(&image).unwrap().set_len(64 * MEGABYTE as u64).unwrap();
        (image.display().to_string(), folder)
    }

    fn mount_exfat(&self) {
        run("mount.exfat-fuse", &[self.device.as_deref().unwrap(), self.folder.to_str().unwrap()]);
    }

    /// Unmounts and mounts the medium, so that reads come from the medium and not from a cache.
    fn replug(&self, site: &Site) {
        assert!(is_mounted(&self.folder), "nothing was tested: {} is not mounted", self.folder.display());
        run("umount", &[self.folder.to_str().unwrap()]);
        if self.device.is_some() {
            self.mount_exfat();
        } else {
            let image = site.path("fat32.img").display().to_string();
            run("fusefat", &["-o", "rw+", &image, self.folder.to_str().unwrap()]);
        }
        assert!(is_mounted(&self.folder));
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.folder).status();
        if let Some(device) = &self.device {
            let _ = Command::new("losetup").args(["--detach", device]).status();
        }
    }
}

fn is_mounted(folder: &Path) -> bool {
    Command::new("mountpoint").arg("-q").arg(folder).status().unwrap().success()
}

/// A sender with a mirrored file of that length, and its keys. Returns `None` if the file systems cannot be created.
fn sender(bytes: usize) -> Option<Site> {
    if !require(&["fusefat", "mkfs.vfat", "mount.exfat-fuse", "mkfs.exfat", "losetup"]) {
        return None;
    }
    let site = Site::empty();
    std::fs::write(site.path("airlock.yaml"), MIRROR).unwrap();
    std::fs::write(site.path("password"), "secret\n").unwrap();
    site.airlock(&["keys", "generate", "release", "--password-file", "password"]);
    site.airlock(&["keys", "trust", "release.pub", "--to", "trust.yaml"]);
    // Every block differs, so that a block at the wrong place is detected.
    let payload: Vec<u8> =
        (0..bytes as u64 / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    std::fs::write(site.path("payload"), payload).unwrap();
    site.airlock(&["mirror", "--store", "near", "--quiet"]);
    Some(site)
}

#[test]
fn a_drive_on_fat32_or_exfat_is_written_unplugged_and_imported() {
    let Some(site) = sender(20 * MEGABYTE) else { return };
    let key = ["--key", "release.key", "--password-file", "password"];
    for medium in [Medium::fat32(&site), Medium::exfat(&site)] {
        let name = medium.folder.file_name().unwrap().to_str().unwrap();
        let pack = [&["pack", "--store", "near", "--to", name, "--volume-size", "8MiB"], &key[..]].concat();
        let said = site.airlock(&pack);
        assert!(said.contains("safe to unplug"), "{said}");
        medium.replug(&site);
        let there = |name: &str| medium.folder.join(name).exists();
        assert!(there("stick-003-of-003.tar") && there("stick.complete.json") && there("log/checkpoint"));
        site.airlock(&["verify", name, "--trust", "trust.yaml"]);
        let far = format!("far-{name}");
        site.airlock(&["import", name, "--trust", "trust.yaml", "--store", &far]);
        let [near, far] = ["near", &far]
            .map(|store| site.airlock(&["store", "list", "--store", store, "--output", "json"]));
        assert_eq!(near, far);
    }
}

#[test]
fn a_full_fat32_or_exfat_medium_fails_the_pack_and_is_not_accepted_as_a_drive() {
    let Some(site) = sender(80 * MEGABYTE) else { return };
    // fusefat does not report the free space, and returns EPERM if there is none; exfat-fuse reports it before the first byte.
    for (medium, code) in [(Medium::fat32(&site), 1), (Medium::exfat(&site), 5)] {
        let name = medium.folder.file_name().unwrap().to_str().unwrap();
        let pack =
            ["pack", "--store", "near", "--to", name, "--key", "release.key", "--password-file", "password"];
        site.ends(code, &pack);
        let complete = std::fs::read_dir(&medium.folder).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(complete.into_iter().all(|name| name.to_str().unwrap().ends_with(".partial")));
        site.ends(4, &["verify", name, "--trust", "trust.yaml"]);
    }
}
