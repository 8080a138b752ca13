//! The structure of `src`: imports point down the floors of [`FLOORS`], and no import
//! circle is larger than allowed.
//!
//! Imports are the paths that begin with `crate`, `super` or `self`, in `use`
//! declarations and in code. Comments, imports for documentation, `#[cfg(test)]`
//! modules, and what checks the code from outside (`fuzz`, `models`, `tests`) do not
//! count.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The floors from the bottom to the top, each a list of files and folders of `src`.
/// The longest match decides. A file may use its own floor and those below.
const FLOORS: &[&[&str]] = &[
    &[
        "protobuf.rs",
        "spawn.rs",
        "sync/",
        "time.rs",
        "token.rs",
        "user_code.rs",
    ],
    &["tls/"],
    &["transport/"],
    &["yamux/"],
    &["wire/session/id.rs", "wire/session/frame.rs"],
    &["error/"],
    &["wire/session/"],
    &["wire/state/"],
    &["wire/run/"],
    &["wire/"],
    &["lib.rs"],
];

/// The most files that may be in one import circle, by folder. The longest match decides.
const LARGEST_CIRCLE: &[(&str, usize)] = &[("", 4), ("yamux/", 1)];

/// Folders that check the code from outside.
const CHECKS: [&str; 3] = ["fuzz", "models", "tests"];

/// Source files by their paths below `src`.
type Sources = BTreeMap<String, String>;

/// The files that each file imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn read(folder: &Path, below: &str, sources: &mut Sources) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !CHECKS.contains(&name) {
                read(&path, &format!("{below}{name}/"), sources);
            }
        } else if name.ends_with(".rs") && !CHECKS.contains(&name.trim_end_matches(".rs")) {
            let source = fs::read_to_string(&path).unwrap();
            sources.insert(format!("{below}{name}"), code(&source));
        }
    }
}

/// The source without comments, imports for documentation and `#[cfg(test)]` modules.
fn code(source: &str) -> String {
    let mut code = String::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let begins_test_module = trimmed.starts_with("#[cfg(")
            && trimmed.contains("test")
            && lines
                .peek()
                .is_some_and(|next| next.trim_start().starts_with("mod ") && next.ends_with('{'));
        if begins_test_module {
            let end = format!("{}}}", &line[..line.len() - trimmed.len()]);
            lines.by_ref().find(|line| *line == end);
        } else if trimmed == "#[cfg(doc)]" {
            lines.by_ref().find(|line| line.ends_with(';'));
        } else if !trimmed.starts_with("//") {
            code.push_str(line.split(" //").next().unwrap_or_default());
            code.push('\n');
        }
    }
    code
}

/// The module path of a file: `["wire", "run"]` for `wire/run/mod.rs`.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("mod").unwrap_or(path);
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts
        .filter(|part| *part != "lib")
        .map(Into::into)
        .collect()
}

/// Splits `a::{b, c::d}` into `a::b` and `a::c::d`.
fn expand(prefix: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let Some((before, group)) = tree.split_once('{') else {
        let tree = tree.split(" as ").next().unwrap_or_default();
        let mut path = prefix.to_vec();
        path.extend(tree.split("::").map(|part| part.trim().to_owned()));
        path.retain(|part| !part.is_empty());
        if path.len() > 1 && path.last().is_some_and(|part| part == "self") {
            path.pop();
        }
        return paths.push(path);
    };
    let mut prefix = prefix.to_vec();
    prefix.extend(before.split("::").map(|part| part.trim().to_owned()));
    prefix.retain(|part| !part.is_empty());
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let (mut depth, mut begin) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &group[begin..at], paths);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !group[begin..].trim().is_empty() {
        expand(&prefix, &group[begin..], paths);
    }
}

/// The `use` declarations of a file: whether each is public, and its paths.
fn declarations(source: &str) -> Vec<(bool, Vec<Vec<String>>)> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find("use ") {
        let line = rest[..at].rsplit('\n').next().unwrap_or_default().trim();
        let tree = &rest[at + 4..];
        rest = tree;
        let is_public = line.starts_with("pub");
        if !(line.is_empty() || is_public) {
            continue;
        }
        let Some(end) = tree.find(';') else {
            break;
        };
        let mut paths = Vec::new();
        expand(&[], &tree[..end], &mut paths);
        found.push((is_public, paths));
        rest = &tree[end..];
    }
    found
}

/// The paths outside of `use` declarations that begin with `crate`, `super` or `self`.
fn inline_paths(source: &str) -> Vec<Vec<String>> {
    let is_part = |character: char| character.is_alphanumeric() || "_:".contains(character);
    let words = source.split(|character| !is_part(character));
    let paths = words.filter(|word| {
        ["crate::", "super::", "self::"]
            .iter()
            .any(|root| word.starts_with(root))
    });
    let paths = paths.map(|path| {
        let parts = path.split("::").filter(|part| !part.is_empty());
        parts.map(Into::into).collect::<Vec<String>>()
    });
    // A `use` declaration with a group leaves its root alone.
    paths.filter(|path| path.len() > 1).collect()
}

struct Tree {
    sources: Sources,
    files: BTreeMap<Vec<String>, String>,
}

impl Tree {
    fn new(sources: Sources) -> Self {
        let files = sources.keys().map(|file| (module(file), file.clone()));
        Self {
            files: files.collect(),
            sources,
        }
    }

    /// The path from the crate's root that `path` means in `file`; `None` if it is
    /// another crate's.
    fn absolute(&self, file: &str, path: &[String]) -> Option<Vec<String>> {
        let own = module(file);
        let mut path = path;
        let mut absolute = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => own,
            "super" => {
                let mut parent = own;
                parent.pop();
                while path.get(1).is_some_and(|part| part == "super") {
                    parent.pop();
                    path = &path[1..];
                }
                parent
            }
            // A child, as in `pub use real::Mutex`.
            first => {
                let mut child = own.clone();
                child.push(first.to_owned());
                self.files.get(&child)?;
                child
            }
        };
        absolute.extend(path[1..].iter().cloned());
        Some(absolute)
    }

    /// The file that defines what `path` names, looking through public re-exports.
    fn target(&self, path: &[String]) -> Option<String> {
        let depth = (0..=path.len())
            .rev()
            .find(|depth| self.files.contains_key(&path[..*depth]))?;
        let file = &self.files[&path[..depth]];
        let Some(item) = path.get(depth) else {
            return Some(file.clone());
        };
        for (is_public, paths) in declarations(&self.sources[file]) {
            let mut paths = paths.iter().filter(|_| is_public);
            let Some(exported) = paths.find(|exported| exported.last() == Some(item)) else {
                continue;
            };
            if let Some(absolute) = self.absolute(file, exported) {
                return self.target(&absolute);
            }
        }
        Some(file.clone())
    }

    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (file, source) in &self.sources {
            let declared = declarations(source).into_iter();
            let declared = declared.filter(|(is_public, _)| !(*is_public && is_index(file)));
            let paths = declared.flat_map(|(_, paths)| paths);
            let all = paths.chain(inline_paths(source));
            let targets = all.filter_map(|path| {
                let path = self.absolute(file, &path)?;
                self.target(&path)
            });
            let targets = targets.filter(|target| target != file).collect();
            imports.insert(file.clone(), targets);
        }
        imports
    }
}

/// Whether the file re-exports what is below it. Its re-exports are no imports.
fn is_index(file: &str) -> bool {
    file.ends_with("mod.rs") || file == "lib.rs"
}

fn longest_match<T>(file: &str, all: impl Iterator<Item = (&'static str, T)>) -> Option<T> {
    let matching = all.filter(|(prefix, _)| file.starts_with(prefix));
    matching
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, value)| value)
}

fn floor(file: &str) -> usize {
    let floors = FLOORS.iter().enumerate();
    let prefixes = floors.flat_map(|(floor, files)| files.iter().map(move |file| (*file, floor)));
    longest_match(file, prefixes).unwrap_or_else(|| panic!("{file} is on no floor"))
}

fn upward(imports: &Imports) -> Vec<String> {
    let mut found = Vec::new();
    for (file, targets) in imports {
        let above = targets.iter().filter(|target| floor(target) > floor(file));
        found.extend(above.map(|target| format!("{file} uses {target}, which is above it")));
    }
    found
}

/// The files that can be reached from `file`.
fn reached(imports: &Imports, file: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![file.to_owned()];
    while let Some(file) = next.pop() {
        for target in imports.get(&file).into_iter().flatten() {
            if reached.insert(target.clone()) {
                next.push(target.clone());
            }
        }
    }
    reached
}

fn large_circles(imports: &Imports) -> Vec<String> {
    let reached: BTreeMap<_, _> = imports
        .keys()
        .map(|file| (file, reached(imports, file)))
        .collect();
    let mut circles = BTreeSet::new();
    for (file, targets) in &reached {
        let mut circle: BTreeSet<_> = targets
            .iter()
            .filter(|target| reached[*target].contains(*file))
            .cloned()
            .collect();
        circle.insert((*file).clone());
        let limit = longest_match(file, LARGEST_CIRCLE.iter().copied()).unwrap();
        if circle.len() > limit {
            circles.insert(circle);
        }
    }
    let describe = |circle: BTreeSet<String>| {
        let files: Vec<_> = circle.into_iter().collect();
        format!("import each other in a circle: {}", files.join(", "))
    };
    circles.into_iter().map(describe).collect()
}

/// What is wrong with the imports, in words.
fn faults(sources: Sources) -> Vec<String> {
    let imports = Tree::new(sources).imports();
    let mut faults = upward(&imports);
    faults.extend(large_circles(&imports));
    faults
}

#[test]
fn imports_point_down_and_circles_are_small() {
    let mut sources = Sources::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    read(&src, "", &mut sources);
    let imports = Tree::new(sources.clone()).imports();
    let arrows: usize = imports.values().map(BTreeSet::len).sum();
    assert!(arrows > 100, "only {arrows} imports were found");
    let faults = faults(sources);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn made_up(files: &[(&str, &str)]) -> Sources {
    let files = files.iter();
    files
        .map(|(file, source)| ((*file).into(), code(source)))
        .collect()
}

#[test]
fn an_import_of_a_floor_above_is_found_however_it_is_written() {
    let above = ("wire/state/pool.rs", "pub(crate) struct Pool;");
    let index = (
        "wire/state/mod.rs",
        "pub(crate) mod pool;\npub(crate) use pool::Pool;",
    );
    for source in [
        "use crate::wire::state::pool::Pool;",
        "use super::super::state::pool::Pool;",
        "use crate::{\n    error::Error,\n    wire::{state::{self, pool::Pool}},\n};",
        "use crate::wire::state::Pool;",
        "fn count(pool: &crate::wire::state::pool::Pool) {}",
    ] {
        let below = ("wire/session/stream.rs", source);
        let faults = faults(made_up(&[above, index, below]));
        assert!(!faults.is_empty(), "{source}");
        let names_the_file =
            |fault: &String| fault.contains("wire/session/stream.rs uses wire/state/");
        assert!(faults.iter().all(names_the_file), "{faults:?}");
    }
}

#[test]
fn what_does_not_count_as_an_import_is_not_found() {
    let above = ("wire/state/pool.rs", "pub(crate) struct Pool;");
    for source in [
        "//! See [`Pool`](crate::wire::state::pool::Pool).",
        "/// Like crate::wire::state::pool::Pool.\nstruct Threads;",
        "#[cfg(doc)]\nuse crate::wire::state::pool::Pool;",
        "#[cfg(test)]\nmod tests {\n    use crate::wire::state::pool::Pool;\n}\n",
    ] {
        let below = ("wire/session/stream.rs", source);
        assert_eq!(faults(made_up(&[above, below])), [""; 0], "{source}");
    }
}

#[test]
fn a_circle_larger_than_allowed_is_found_with_all_its_files() {
    let circle = [
        ("wire/run/a.rs", "use super::b::B;"),
        ("wire/run/b.rs", "use super::c::C;"),
        ("wire/run/c.rs", "use super::d::D;"),
        ("wire/run/d.rs", "use super::e::E;"),
        ("wire/run/e.rs", "use super::a::A;"),
    ];
    let found = faults(made_up(&circle));
    assert_eq!(found.len(), 1);
    for (file, _) in circle {
        assert!(found[0].contains(file), "{found:?}");
    }
    assert!(faults(made_up(&circle[..4])).is_empty());
    let pair = [
        ("yamux/a.rs", "use super::b::B;"),
        ("yamux/b.rs", "use crate::yamux::a::A;"),
    ];
    assert_eq!(faults(made_up(&pair)).len(), 1);
}
