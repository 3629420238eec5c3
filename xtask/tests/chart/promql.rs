//! The metrics and labels that a PromQL query names. Not a parser: it leaves out what can be no metric, and takes the words that stay.

/// Words of the language that stand where a metric could.
const WORDS: [&str; 10] =
    ["and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool"];

/// The metrics of a query, in the order in which they stand there.
pub(crate) fn metrics(query: &str) -> Vec<String> {
    let query = without(query, '"', '"');
    let query = without(&without(&query, '{', '}'), '[', ']');
    let query = without_grouping(&query);
    let mut found = Vec::new();
    let mut rest = query.as_str();
    while let Some(start) = rest.find(is_name) {
        let word = &rest[start..];
        let end = word.find(|c: char| !is_name(c)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        let is_function = after.trim_start().starts_with('(');
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        if !is_function && !is_number && !WORDS.contains(&word) {
            found.push(word.to_owned());
        }
        rest = after;
    }
    found
}

/// Each metric that is asked for by labels, with their names.
pub(crate) fn selectors(query: &str) -> Vec<(String, Vec<String>)> {
    let query = without(query, '"', '"');
    let mut found = Vec::new();
    let mut rest = query.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let metric = before.rsplit(|c: char| !is_name(c)).next().unwrap();
        let (labels, after) = after.split_once('}').unwrap();
        let names =
            labels.split(',').map(|label| label.split(|c: char| !is_name(c)).next().unwrap().to_owned());
        found.push((metric.to_owned(), names.collect()));
        rest = after;
    }
    found
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Without what stands between two marks.
fn without(text: &str, open: char, close: char) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars() {
        match inside {
            true => inside = c != close,
            false if c == open => inside = true,
            false => out.push(c),
        }
    }
    out
}

/// Without the labels of `by (…)` and its like.
fn without_grouping(text: &str) -> String {
    let mut out = text.to_owned();
    for word in ["by", "without", "on", "ignoring", "group_left", "group_right"] {
        while let Some(at) = out.find(&format!(" {word} (")) {
            let end = out[at..].find(')').map_or(out.len(), |end| at + end + 1);
            out.replace_range(at..end, " ");
        }
    }
    out
}

#[test]
fn metrics_are_found_beside_functions_labels_numbers_and_words() {
    let query = r#"sum by (a, le) (rate(one_count{x=~"b|c",d="{"}[5m])) or 0 * two:rate1h{e="f"} / 14.4 > 0.001 and three - time() < 1e3"#;
    assert_eq!(metrics(query), ["one_count", "two:rate1h", "three"]);
    assert_eq!(metrics("absent(app_build_info{a=\"b\"})"), ["app_build_info"]);
    assert_eq!(metrics("histogram_quantile(0.5, sum by (le) (rate(x_bucket[5m])))"), ["x_bucket"]);
    assert_eq!(metrics("a > on (b) group_left (c) d"), ["a", "d"]);
    assert!(metrics("1 + 2").is_empty());
}

#[test]
fn labels_are_found_with_their_metric() {
    let query = r#"rate(one_count{x=~"b|c,{}",d!="e"}[5m]) / two:rate1h{f="g"} + three"#;
    let found = [("one_count", vec!["x", "d"]), ("two:rate1h", vec!["f"])];
    let found =
        found.map(|(metric, labels)| (metric.to_owned(), labels.into_iter().map(str::to_owned).collect()));
    assert_eq!(selectors(query), found);
}
