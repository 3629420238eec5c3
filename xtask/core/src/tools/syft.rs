//! Syft: what an image is made of, as a CycloneDX and an SPDX document of one run. Any exit code but 0 is a fault.
//!
//! An image may hold no package that Syft knows, such as one static program: its documents are valid and list nothing, so the count
//! is part of the facts and a note says so. Serial numbers and times in the documents differ from run to run.

use crate::engine::{Call, Cx, store};
use crate::error::StageError;
use crate::tools::common::{at_home, exited, fresh_report, read_report, unreadable};
use crate::tools::read_json;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::Path;

/// Its name in `tools.lock`.
pub const TOOL: &str = "syft";

/// A bill of materials in two formats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sbom {
    /// The image: the digest of its manifest.
    pub image: String,
    /// How many packages it holds.
    pub packages: usize,
    /// The version of CycloneDX: `1.6`.
    pub cyclonedx_version: String,
    /// The version of SPDX: `SPDX-2.3`.
    pub spdx_version: String,
    /// The documents, relative to the root: CycloneDX, SPDX.
    pub documents: [String; 2],
}

/// Describes the image in an OCI layout. All paths are relative to the root; both documents are there afterwards, or neither is
/// touched.
pub async fn describe(cx: &Cx, layout: &str, cyclonedx: &str, spdx: &str) -> Result<Sbom, StageError> {
    let outputs = [fresh_report(cx, "sbom.cdx.json")?, fresh_report(cx, "sbom.spdx.json")?];
    let scratch = cx.scratch()?;
    let name = Path::new(layout).file_name().unwrap_or_default();
    let call = Call::new(cx.program(TOOL)?)
        .arg("scan")
        .arg(joined("oci-dir:", &cx.root().join(layout)))
        // Otherwise the documents say where the layout lies on this machine.
        .arg("--source-name")
        .arg(name)
        .arg("--output")
        .arg(joined("cyclonedx-json=", &outputs[0]))
        .arg("--output")
        .arg(joined("spdx-json=", &outputs[1]))
        .env("SYFT_CHECK_FOR_APP_UPDATE", "false")
        // In the root it would obey a .syft.yaml, which is no input of the stage.
        .directory(scratch);
    let ran = cx.exec(at_home(call, scratch)).await?;
    if ran.code != 0 {
        return Err(exited(cx, TOOL, &ran));
    }
    let [cyclonedx_bytes, spdx_bytes] = [read_report(TOOL, &outputs[0])?, read_report(TOOL, &outputs[1])?];
    let sbom = parse(&cyclonedx_bytes, &spdx_bytes, [cyclonedx, spdx])?;
    for (document, bytes) in [(cyclonedx, cyclonedx_bytes), (spdx, spdx_bytes)] {
        let path = cx.root().join(document);
        store::replace(&path, &bytes).map_err(StageError::io("cannot write", path))?;
    }
    if sbom.packages == 0 {
        cx.note("the image holds no package that Syft knows: its bill of materials lists nothing");
    }
    Ok(sbom)
}

fn joined(prefix: &str, path: &Path) -> OsString {
    let mut whole = OsString::from(prefix);
    whole.push(path);
    whole
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CycloneDx {
    bom_format: String,
    spec_version: String,
    metadata: Metadata,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Metadata {
    component: Image,
}

#[derive(Deserialize)]
struct Image {
    version: String,
}

#[derive(Deserialize)]
struct Component {
    r#type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spdx {
    spdx_version: String,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    #[serde(rename = "SPDXID")]
    id: String,
}

fn parse(cyclonedx: &[u8], spdx: &[u8], documents: [&str; 2]) -> Result<Sbom, StageError> {
    let cyclonedx: CycloneDx = read_json(TOOL, cyclonedx)?;
    let spdx: Spdx = read_json(TOOL, spdx)?;
    let known = |found: &str, version: &str| {
        if found.starts_with(version) {
            return Ok(());
        }
        Err(unreadable(TOOL, format!("it wrote {found} where {version}… was expected")))
    };
    known(&format!("{} {}", cyclonedx.bom_format, cyclonedx.spec_version), "CycloneDX 1.")?;
    known(&spdx.spdx_version, "SPDX-2.")?;
    // The operating system and single files are components, and the image is a package: none of them is a package of the image.
    let is_package = |one: &&Component| !["operating-system", "file"].contains(&one.r#type.as_str());
    let packages = cyclonedx.components.iter().filter(is_package).count();
    let listed = spdx.packages.iter().filter(|one| !one.id.starts_with("SPDXRef-DocumentRoot-")).count();
    // How the formats count may differ; that only one of them sees any package may not.
    if (packages == 0) != (listed == 0) {
        let why = format!("its CycloneDX document lists {packages} packages and its SPDX document {listed}");
        return Err(unreadable(TOOL, why));
    }
    Ok(Sbom {
        image: cyclonedx.metadata.component.version,
        packages,
        cyclonedx_version: cyclonedx.spec_version,
        spdx_version: spdx.spdx_version,
        documents: documents.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    fn pair(case: &str) -> (Vec<u8>, Vec<u8>) {
        (recorded(&format!("syft/{case}.cdx.json")), recorded(&format!("syft/{case}.spdx.json")))
    }

    fn read((cyclonedx, spdx): &(Vec<u8>, Vec<u8>)) -> Result<Sbom, StageError> {
        parse(cyclonedx, spdx, ["a.cdx.json", "a.spdx.json"])
    }

    #[test]
    fn both_documents_describe_the_same_packages() {
        let sbom = read(&pair("1.18.1/image-both")).unwrap();
        assert_eq!(sbom.packages, 7);
        assert_eq!((sbom.cyclonedx_version.as_str(), sbom.spdx_version.as_str()), ("1.6", "SPDX-2.3"));
        assert_eq!(sbom.documents, ["a.cdx.json", "a.spdx.json"]);
        assert!(sbom.image.starts_with("sha256:ccd5d1e4"));
    }

    #[test]
    fn an_image_without_packages_is_described_too() {
        assert_eq!(read(&pair("1.18.1/image-scratch")).unwrap().packages, 0);
    }

    #[test]
    fn documents_that_do_not_belong_together_are_refused() {
        let (whole, empty) = (pair("1.18.1/image-both"), pair("1.18.1/image-scratch"));
        let mixed = read(&(whole.0.clone(), empty.1));
        assert!(
            matches!(mixed, Err(StageError::Unreadable { why, .. }) if why.contains("7 packages")),
            "mixed"
        );
        let swapped = read(&(whole.1, whole.0));
        assert!(matches!(swapped, Err(StageError::Unreadable { .. })), "swapped");
    }

    #[test]
    fn a_document_that_is_cut_empty_or_of_another_format_is_refused() {
        let whole = pair("1.18.1/image-both");
        refuses_any_cut(&whole.0, |cut| parse(cut, &whole.1, ["", ""]));
        refuses_any_cut(&whole.1, |cut| parse(&whole.0, cut, ["", ""]));
        let text = String::from_utf8(whole.0).unwrap();
        let newer = text.replace(r#""specVersion":"1.6""#, r#""specVersion":"2.0""#).into_bytes();
        assert!(
            matches!(parse(&newer, &whole.1, ["", ""]), Err(StageError::Unreadable { why, .. }) if why.contains("2.0"))
        );
    }
}
