//! Which modules of a library import which, and which external crates they name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A module with its layer and what it may import of the library. Nothing may be imported from above, or in a circle.
pub(crate) type Layer = (&'static str, u8, &'static [&'static str]);

/// An external crate, or the part of it that is to stay in one place, with the modules or files that may name it.
pub(crate) type External = (&'static str, &'static [&'static str]);

/// The modules of a library with their code, and the files that it is in.
pub(crate) fn sources(src: &Path) -> Vec<(String, String, PathBuf)> {
    fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    collect(src, &mut files);
    files.sort();
    let module = |path: &Path| {
        let first = path.strip_prefix(src).unwrap().iter().next().unwrap().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    };
    let source = |path: PathBuf| (module(&path), code(&fs::read_to_string(&path).unwrap()), path);
    files.into_iter().map(source).collect()
}

/// The code without comments (and the examples in them), and without the unit tests at its end.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that a `use crate::…;` or a path `crate::…` names.
fn imports(code: &str) -> BTreeSet<String> {
    let mut imports = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            // The first word of each item at the group's own depth.
            let (mut depth, mut start) = (0, true);
            let mut word = String::new();
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        imports.insert(std::mem::take(&mut word));
                        start = true;
                    }
                    _ if depth == 0 && start && (character.is_alphanumeric() || character == '_') => {
                        word.push(character);
                    }
                    _ if !word.is_empty() => start = false,
                    _ => {}
                }
            }
            imports.insert(word);
        } else {
            imports.insert(
                rest.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect(),
            );
        }
    }
    imports.remove("");
    // A name that starts in upper case is one that lib.rs shows.
    imports.into_iter().map(|name| if name.starts_with(char::is_uppercase) { "lib".to_owned() } else { name }).collect()
}

/// Each module imports what the table names, all of it, and nothing else.
pub(crate) fn check_imports(src: &Path, layers: &[Layer]) {
    let layer_of: BTreeMap<_, _> = layers.iter().map(|(module, layer, _)| (*module, *layer)).collect();
    let mut used: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (module, code, path) in sources(src) {
        let (_, layer, allowed) = layers
            .iter()
            .find(|(name, ..)| *name == module)
            .unwrap_or_else(|| panic!("{} has no layer", path.display()));
        for import in imports(&code) {
            if import == module || module == "lib" {
                continue;
            }
            assert!(allowed.contains(&import.as_str()), "{} imports {import}", path.display());
            assert!(import == "lib" || layer_of[import.as_str()] <= *layer, "{import} is above {module}");
            used.entry(module.clone()).or_default().insert(import);
        }
    }
    for (module, _, allowed) in layers {
        let used = used.remove(*module).unwrap_or_default();
        assert!(
            allowed.iter().all(|name| used.contains(*name)),
            "{module} may import {allowed:?}, and imports {used:?}"
        );
    }
}

pub(crate) fn check_circles(layers: &[Layer]) {
    let allowed: BTreeMap<_, _> = layers.iter().map(|(module, _, allowed)| (*module, *allowed)).collect();
    for start in allowed.keys() {
        let mut reached = BTreeSet::new();
        let mut next: Vec<_> = allowed[start].to_vec();
        while let Some(module) = next.pop() {
            assert_ne!(module, *start, "{start} imports itself");
            if reached.insert(module) {
                next.extend(allowed[module]);
            }
        }
    }
}

pub(crate) fn check_external(src: &Path, external: &[External]) {
    for (_, code, path) in sources(src) {
        // `use ring::{aead::…, hkdf::…}` names `ring::aead` too.
        let flat = flatten(&code);
        for (name, allowed) in external {
            let file = path.strip_prefix(src).unwrap().with_extension("");
            let may_name = |part: &&str| file.starts_with(part);
            assert!(!flat.contains(*name) || allowed.iter().any(may_name), "{} names {name}", path.display());
        }
    }
    let all: String = sources(src).iter().map(|(_, code, _)| flatten(code)).collect();
    for (name, _) in external {
        assert!(all.contains(*name), "{name} is named nowhere");
    }
}

/// The code, followed by `ring::` and each first word of a group that ring is imported by.
fn flatten(code: &str) -> String {
    let mut flat = code.to_owned();
    for part in code.split("use ring::{").skip(1) {
        let group = part.split("};").next().unwrap();
        for item in group.split('\n').map(str::trim).filter(|item| !item.is_empty()) {
            flat.push_str(&format!("\nring::{item}"));
        }
    }
    flat
}

#[test]
fn imports_are_found_in_groups_and_paths() {
    let code_of_one =
        "use crate::{alpha::One, beta::{Two, Three}, gamma, Four}; fn f() { crate::delta::g(crate::Five) }";
    let expected = ["alpha", "beta", "gamma", "delta", "lib"].map(str::to_owned);
    assert_eq!(imports(code_of_one), BTreeSet::from(expected));
    assert!(flatten("use ring::{\n    aead::Aad,\n};").contains("ring::aead::Aad"));
    assert_eq!(code("a(); // crate::b\n#[cfg(test)]\nmod tests { crate::c }").trim_end(), "a();");
}
