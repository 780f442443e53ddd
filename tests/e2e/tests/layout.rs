//! What every file of the tree must (not) be: a small scanner over what Git lists.

use std::path::Path;
use std::process::Command;

use crate::harness::root;

/// Most lines of code (neither blank nor comment) that a source file has.
const LINES: usize = 600;

/// Source files past [`LINES`], each with its reason.
const LONG: &[(&str, &str)] = &[];

/// Spelt in pieces, as all patterns are, so that this file is no hit.
const PAUSE: &str = concat!("sle", "ep(");

/// Where a pattern may stand, and why.
const EXPLAINED: &[(&str, &str, &str)] = &[
    (PAUSE, "tests/kit/src/conformance/case.rs", "the pause between two questions that have a deadline"),
    (PAUSE, "tests/kit/src/faults.rs", "a delay is what the fault is"),
    (PAUSE, "connectors/embedded/tests/kills.rs", "up to the random moment of a kill"),
    (PAUSE, "connectors/kafka/tests/broker.rs", "the pause between two questions that have a deadline"),
    (PAUSE, "connectors/kafka/tests/groups.rs", "a slow stage between reading and committing is what is tested"),
    (PAUSE, "tests/e2e/tests/harness/", "the pause between two questions that have a deadline"),
];

/// A pattern, where it is looked for, and why it must not be there.
type Forbidden = (String, fn(&str) -> bool, &'static str);

/// What no file holds.
fn forbidden() -> Vec<Forbidden> {
    let everywhere: fn(&str) -> bool = |path| path != "Cargo.lock";
    let rust: fn(&str) -> bool = |path| path.ends_with(".rs");
    let tests: fn(&str) -> bool = |path| path.ends_with(".rs") && path.split('/').any(|part| part == "tests");
    let spell = |parts: &[&str]| parts.concat();
    vec![
        (spell(&["/wo", "rk/"]), everywhere, "a path of one machine"),
        (spell(&["/ro", "ot/"]), everywhere, "a path of one machine"),
        (spell(&["/ho", "me/"]), everywhere, "a path of one machine"),
        (spell(&["/Us", "ers/"]), everywhere, "a path of one machine"),
        (spell(&["/tm", "p/"]), everywhere, "a path of one machine"),
        (spell(&["static.crates", ".io"]), everywhere, "the host of a registry"),
        (spell(&["index.crates", ".io"]), everywhere, "the host of a registry"),
        (spell(&["pypi", ".org"]), everywhere, "the host of a registry"),
        (spell(&["pythonhosted", ".org"]), everywhere, "the host of a registry"),
        (spell(&["repo.maven", ".apache"]), everywhere, "the host of a registry"),
        (spell(&["repo1.", "maven"]), everywhere, "the host of a registry"),
        (spell(&["registry.npm", "js"]), everywhere, "the host of a registry"),
        (spell(&["proxy.go", "lang"]), everywhere, "the host of a registry"),
        (spell(&["#[ig", "nore"]), rust, "a test that nobody runs"),
        (spell(&["to", "do!("]), rust, "unfinished code"),
        (spell(&["unimpl", "emented!("]), rust, "unfinished code"),
        (spell(&["#[al", "low("]), rust, "a lint silenced without `expect` and a reason"),
        (PAUSE.to_owned(), tests, "waiting for a fixed time instead of for what should happen"),
    ]
}

/// The files that Git knows or would add.
fn files() -> Vec<String> {
    let mut command = Command::new("git");
    command.current_dir(root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = command.output().expect("git ls-files");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("UTF-8");
    let files = names.split('\0').filter(|name| !name.is_empty() && root().join(name).is_file());
    files.map(str::to_owned).collect()
}

/// Everything wrong with one file.
fn faults(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (pattern, looked_for_in, why) in forbidden() {
        let explained = EXPLAINED.iter().any(|(p, place, _)| *p == pattern && path.starts_with(place));
        if !looked_for_in(path) || explained {
            continue;
        }
        let hits = text.lines().enumerate().filter(|(_, line)| line.contains(&pattern));
        found.extend(hits.map(|(n, line)| format!("{path}:{}: {why}: {}", n + 1, line.trim())));
    }
    if path.ends_with(".rs") {
        let code = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        if code > LINES && !LONG.iter().any(|(long, _)| *long == path) {
            found.push(format!("{path}: {code} lines of code, more than {LINES}, and no reason in the list"));
        }
        let is_module = path.split('/').any(|part| part == "src");
        if is_module && !text.starts_with("//!") {
            found.push(format!("{path}: no module document"));
        }
    }
    found
}

#[test]
fn every_file_keeps_the_rules() {
    let files = files();
    assert!(files.iter().any(|f| f == "streams/src/journal.rs"), "files were listed");
    let found: Vec<String> = files
        .iter()
        .filter_map(|path| Some((path, String::from_utf8(std::fs::read(root().join(path)).ok()?).ok()?)))
        .flat_map(|(path, text)| faults(path, &text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (path, _) in LONG {
        assert!(files.iter().any(|f| f == path), "{path} is explained and does not exist");
    }
}

#[test]
fn the_scanner_sees_every_fault() {
    for (pattern, looked_for_in, _) in forbidden() {
        let path = ["tests/e2e/tests/x.rs", "README.md"].into_iter().find(|p| looked_for_in(p)).expect("a place");
        let found = faults(path, &format!("//! x\nfirst\n let x = {pattern}x;\n"));
        assert_eq!(found.len(), 1, "{pattern}: {found:?}");
        assert!(found[0].starts_with(&format!("{path}:3:")), "{found:?}");
    }
    let long = format!("//! x\n{}", "let x = 1;\n\n// comment\n".repeat(LINES));
    assert_eq!(faults("a.rs", &long), Vec::<String>::new(), "blank lines and comments are no code");
    assert_eq!(faults("a.rs", &format!("{long}let y = 2;\n")).len(), 1);
    assert_eq!(faults("a/src/a.rs", "fn x() {}\n").len(), 1, "a module begins with its document");
    assert_eq!(faults("Cargo.lock", "registry+https://x.index.crates"), Vec::<String>::new());
    let explained = format!("//! x\n{PAUSE}x)");
    assert_eq!(faults("tests/e2e/tests/harness/mod.rs", &explained), Vec::<String>::new());
}

/// At most one test binary in each crate: a second would link everything a second time.
#[test]
fn each_crate_has_one_test_binary_at_most() {
    for manifest in files().iter().filter(|f| f.ends_with("Cargo.toml")) {
        let folder = Path::new(manifest).parent().expect("a folder");
        let tests = root().join(folder).join("tests");
        let Ok(entries) = std::fs::read_dir(&tests) else { continue };
        let binaries = entries.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "rs")).count();
        let text = std::fs::read_to_string(root().join(manifest)).expect("a manifest");
        assert!(binaries <= 1 || text.contains("autotests = false"), "{} holds {binaries} binaries", tests.display());
        assert!(text.matches("[[test]]").count() <= 1, "{manifest} names several test binaries");
    }
}
