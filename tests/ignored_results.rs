//! Every result that the library ignores has a comment that says why it may be.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Code that drops a result, or treats an error as something else. `.ok()?` does not:
/// it passes the absence on.
const IGNORED: [&str; 6] = [
    "let _ =",
    ".ok()",
    "Err(_)",
    "if let Ok(",
    "while let Ok(",
    "&& let Ok(",
];

fn is_ignored(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let code = code.replace(".ok()?", "");
    IGNORED.iter().any(|pattern| code.contains(pattern))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The numbers of the lines that ignore a result and have no comment on the same line or
/// before it. Consecutive lines may share a comment. Test modules are skipped.
fn unexplained(source: &str) -> Vec<usize> {
    let lines: Vec<&str> = source.lines().collect();
    let mut found = Vec::new();
    let mut explained = false;
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if line.trim_start().starts_with("#[cfg(") && line.contains("test") {
            let module = lines.get(at + 1).is_some_and(|next| {
                let next = next.trim_start();
                next.starts_with("mod ") && next.ends_with('{')
            });
            if module {
                let end =
                    |other: &&str| other.trim_end().ends_with('}') && indent(other) == indent(line);
                at += lines[at..].iter().position(end).unwrap_or(lines.len());
                continue;
            }
        }
        if is_comment(line) {
            explained = true;
        } else if is_ignored(line) {
            if !explained && !line.contains("//") {
                found.push(at + 1);
            }
        } else {
            explained = false;
        }
        at += 1;
    }
    found
}

/// The library's source files, without models and fuzzing.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if ["fuzz", "models", "model"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_ignored_result_has_a_comment() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.len() > 50, "{files:?}");
    let mut found = Vec::new();
    for file in files {
        for line in unexplained(&fs::read_to_string(&file).unwrap()) {
            found.push(format!("{}:{line}", file.display()));
        }
    }
    assert!(found.is_empty(), "without a comment:\n{}", found.join("\n"));
}

#[test]
fn ignored_results_without_a_comment_are_found() {
    let source = "\
fn f() {
    // Closed already.
    let _ = a();
    let _ = b();
    c().ok(); // Sent anyway.
    d();
    e().ok();
    g().ok()?;
    match h() {
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    fn f() {
        let _ = a();
    }
}

fn g() {
    while let Ok(_) = a() {}
}
";
    assert_eq!(unexplained(source), [7, 10, 22]);
}
