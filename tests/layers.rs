//! The structure of `src`: imports point down the floors of [`FLOORS`], and no import
//! circle is larger than allowed.
//!
//! Imports are the paths that begin with `crate`, `super` or `self`, in `use`
//! declarations and in code. Comments, imports for documentation, modules for tests, and
//! what checks the code from outside (`fuzz`, `models`, `tests`) do not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The floors from the bottom to the top, each a list of files and folders of `src`.
/// The longest match decides. A file may use its own floor and those below.
const FLOORS: &[&[&str]] = &[
    &[
        "foreign.rs",
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
    &["lib.rs", "unwind_safe.rs"],
];

/// The most files that may be in one import circle, by folder. The longest match decides.
const LARGEST_CIRCLE: &[(&str, usize)] = &[("", 4), ("yamux/", 1)];

/// Folders that check the code from outside.
const CHECKS: [&str; 3] = ["fuzz", "models", "tests"];

/// Source files by their paths below `src`.
type Sources = BTreeMap<String, String>;

/// The files that each file imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Reads the sources of a folder whose modules `parent` declares.
fn read(folder: &Path, below: &str, parent: &str, sources: &mut Sources) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let module = name.trim_end_matches(".rs");
        if CHECKS.contains(&module) && is_conditional(parent, module) {
            continue;
        }
        if path.is_dir() {
            let index = fs::read_to_string(path.join("mod.rs")).unwrap_or_default();
            read(&path, &format!("{below}{name}/"), &index, sources);
        } else if name.ends_with(".rs") {
            let source = fs::read_to_string(&path).unwrap();
            sources.insert(format!("{below}{name}"), code(&source));
        }
    }
}

/// Returns whether the module is declared for tests or fuzzing only.
fn is_conditional(parent: &str, module: &str) -> bool {
    let end = format!("mod {module};");
    let mut before = "";
    parent.lines().any(|line| {
        let attributes = std::mem::replace(&mut before, line);
        line.ends_with(&end) && (is_for_checks(attributes) || attributes == "#[doc(hidden)]")
    })
}

/// Returns whether what follows is not part of the library.
fn is_for_checks(attribute: &str) -> bool {
    let attribute = attribute.trim_start();
    ["#[cfg(test)]", "#[cfg(any(test, fuzzing))]"].contains(&attribute)
        || attribute.starts_with("#[cfg(all(test, ")
}

/// The source without comments, imports for documentation and modules of tests.
fn code(source: &str) -> String {
    assert!(
        !source.contains("extern crate self"),
        "paths cannot be followed through another name of the crate"
    );
    let mut code = String::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let next = lines.peek().map_or("", |next| next.trim_start());
        if is_for_checks(trimmed) && next.starts_with("mod ") && next.ends_with('{') {
            let end = format!("{}}}", &line[..line.len() - trimmed.len()]);
            lines.by_ref().find(|line| *line == end);
        } else if trimmed == "#[cfg(doc)]" && next.starts_with("use ") {
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

/// A path in a `use` declaration, and the name by which it is imported or exported.
#[derive(Clone, Debug)]
struct Use {
    path: Vec<String>,
    name: String,
}

/// Splits `a::{b, c::d}` into `a::b` and `a::c::d`.
fn expand(prefix: &[String], tree: &str, uses: &mut Vec<Use>) {
    let tree = tree.trim();
    let Some((before, group)) = tree.split_once('{') else {
        let (tree, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
        let mut path = prefix.to_vec();
        path.extend(tree.split("::").map(|part| part.trim().to_owned()));
        path.retain(|part| !part.is_empty());
        if path.len() > 1 && path.last().is_some_and(|part| part == "self") {
            path.pop();
        }
        let name = match alias.trim() {
            "" => path.last().cloned().unwrap_or_default(),
            alias => alias.to_owned(),
        };
        return uses.push(Use { path, name });
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
                expand(&prefix, &group[begin..at], uses);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !group[begin..].trim().is_empty() {
        expand(&prefix, &group[begin..], uses);
    }
}

/// The `use` declarations of a file: whether each is public, and what it imports.
fn declarations(source: &str) -> Vec<(bool, Vec<Use>)> {
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
        let mut uses = Vec::new();
        expand(&[], &tree[..end], &mut uses);
        found.push((is_public, uses));
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

    /// The files that define what `path` names, looking through public re-exports. A
    /// glob names everything that is exported.
    fn targets(&self, path: &[String]) -> Vec<String> {
        let Some(depth) = (0..=path.len())
            .rev()
            .find(|depth| self.files.contains_key(&path[..*depth]))
        else {
            return Vec::new();
        };
        let file = &self.files[&path[..depth]];
        let Some(item) = path.get(depth) else {
            return vec![file.clone()];
        };
        let mut targets = Vec::new();
        for (is_public, uses) in declarations(&self.sources[file]) {
            let exported = uses.iter().filter(|exported| {
                is_public && (item == "*" || exported.name == "*" || exported.name == *item)
            });
            for exported in exported {
                let mut exported = exported.path.clone();
                if exported.last().is_some_and(|last| last == "*") && item != "*" {
                    exported.pop();
                    exported.push(item.clone());
                }
                if let Some(absolute) = self.absolute(file, &exported) {
                    targets.extend(self.targets(&absolute));
                }
            }
        }
        if targets.is_empty() || item == "*" {
            targets.push(file.clone());
        }
        targets
    }

    /// What each file imports. An index exports what is below it to others, which is no
    /// import of its own, unless `with_exports`.
    fn imports(&self, with_exports: bool) -> Imports {
        let mut imports = Imports::new();
        for (file, source) in &self.sources {
            let declared = declarations(source).into_iter();
            let declared =
                declared.filter(|(is_public, _)| with_exports || !(*is_public && is_index(file)));
            let used = declared.flat_map(|(_, uses)| uses).map(|used| used.path);
            let all = used.chain(inline_paths(source));
            let targets = all.flat_map(|path| {
                let path = self.absolute(file, &path);
                path.map_or_else(Vec::new, |path| self.targets(&path))
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
    let tree = Tree::new(sources);
    let mut faults = upward(&tree.imports(true));
    faults.extend(large_circles(&tree.imports(false)));
    faults
}

#[test]
fn imports_point_down_and_circles_are_small() {
    let mut sources = Sources::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let index = fs::read_to_string(src.join("lib.rs")).unwrap();
    read(&src, "", &index, &mut sources);
    let imports = Tree::new(sources.clone()).imports(false);
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
        "use crate::wire::state::*;",
        "use crate::wire::state::pool::Pool as Threads;",
        "fn count(pool: &crate::wire::state::pool::Pool) {}",
        "#[cfg(not(test))]\nmod real {\n    use crate::wire::state::pool::Pool;\n}\n",
        "#[cfg(doc)]\nmod map {}\nuse crate::wire::state::pool::Pool;",
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
fn a_re_export_is_followed_whatever_its_name_and_counts_where_it_points_up() {
    let above = ("wire/state/pool.rs", "pub(crate) struct Pool;");
    let index = (
        "wire/session/mod.rs",
        "pub(crate) use crate::{error::Error, wire::state::pool::Pool as Threads};",
    );
    let found = faults(made_up(&[above, index]));
    assert_eq!(
        found,
        ["wire/session/mod.rs uses wire/state/pool.rs, which is above it"]
    );
    for source in ["use super::Threads;", "use super::*;"] {
        let below = ("wire/session/stream.rs", source);
        let found = faults(made_up(&[above, index, below]));
        let names_it = |fault: &String| fault.starts_with("wire/session/stream.rs uses wire/state");
        assert!(found.iter().any(names_it), "{source}: {found:?}");
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
