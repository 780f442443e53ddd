//! Each rule on what it must find and on what looks like it. Secrets are spelled in pieces, so that none stands in the tree.

use super::*;

fn redacted(text: &str) -> String {
    let mut screen = Screen::open();
    screen.set(&"all".parse().expect("a name"), Action::Redact);
    let mut text = Cow::Borrowed(text);
    screen.text(&mut text, &mut Redacted::default()).expect("nothing is quarantined");
    text.into_owned()
}

#[test]
fn what_has_the_form_is_found() {
    let token = ["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0", "c2lnbmF0dXJlLW9mLWl0MTIz"].join(".");
    let pem = |kind: &str| format!("-----{} {kind}-----\nMIIB\n-----{} {kind}-----", "BEGIN", "END");
    for (text, expected) in [
        (format!("key {}{} here", "AKIA", "ABCDEFGHIJ234567"), "key [REDACTED:api_key] here"),
        (format!("({}{})", "sk-", "proj-abcdefgh1234567890abcd"), "([REDACTED:api_key])"),
        (format!("{}_{}", "ghp", "a1B2".repeat(9)), "[REDACTED:api_key]"),
        (format!("{}-{}", "xoxb", "123456789012-abcdefABCDEF"), "[REDACTED:api_key]"),
        (format!("{}{}", "sk_live_", "4eC39HqLyjWDarjtT1"), "[REDACTED:api_key]"),
        (format!("Bearer {token}."), "Bearer [REDACTED:jwt]."),
        (format!("a {} b", pem("RSA PRIVATE KEY")), "a [REDACTED:private_key] b"),
        (format!("-----{} PRIVATE KEY-----\nMIIB cut off", "BEGIN"), "[REDACTED:private_key]"),
        ("write to mia_li.sample+x@mail.example.com.".into(), "write to [REDACTED:email]."),
        ("<a@example.com>,b@example.org".into(), "<[REDACTED:email]>,[REDACTED:email]"),
        ("?mail=a@example.com&x".into(), "?mail=[REDACTED:email]&x"),
        ("call (555) 555-0123 or 555-555-0199!".into(), "call [REDACTED:phone] or [REDACTED:phone]!"),
        ("+49 30 5550 1234, now".into(), "[REDACTED:phone], now"),
        ("ssn 123-45-6789.".into(), "ssn [REDACTED:ssn]."),
        ("4111 1111 1111 1111 or 378282246310005".into(), "[REDACTED:card] or [REDACTED:card]"),
        ("été a@example.com é".into(), "été [REDACTED:email] é"),
    ] {
        assert_eq!(redacted(&text), expected, "{text}");
    }
}

#[test]
fn what_only_looks_like_it_is_left() {
    for text in [
        "sk-learn-is-a-library-of-python-for-models",
        "the AKIA prefix, task-123, risk-1234567890123456789012345",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "eyJ.eyJ.x and eyJhbGciOiJIUzI1NiJ9 alone",
        "a @ b, user@localhost, @handle, x@y.1, price@2.50",
        "4111 1111 1111 1112, 1234567890123456, 0000 0000 0000 0000",
        "000-12-3456 666-12-3456 912-34-5678 123-00-4567 123-45-0000 1-123-45-6789-1",
        "2024-05-17 12:30:00, 3.1415926535, 1,234,567.89, 10.0.0.1, 5550123",
        "16 + 24 = 40, 100-200-300, 192.168.100.200",
    ] {
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn a_screen_does_what_it_is_told_and_counts() {
    let mut screen = Screen::default();
    assert_eq!(screen.kinds(Action::Redact), ["api_key", "jwt", "private_key"]);
    let mut json =
        Json::recorded(r#"{"a@example.com":["b@example.com",4111111111111111,1.50],"n":"x"}"#).expect("JSON");
    let mut counts = Redacted::default();
    screen.json(&mut json, &mut counts).expect("nothing to quarantine");
    assert_eq!(counts, Redacted::default());
    screen.set(&"email,card".parse().expect("names"), Action::Redact);
    screen.json(&mut json, &mut counts).expect("nothing to quarantine");
    let written = String::from_utf8(json.to_bytes().expect("canonical")).expect("UTF-8");
    assert_eq!(written, r#"{"a@example.com":["[REDACTED:email]","[REDACTED:card]",1.50],"n":"x"}"#);
    let mut by_kind = BTreeMap::new();
    counts.counts(&mut by_kind);
    assert_eq!(by_kind, BTreeMap::from([("card", 1), ("email", 1)]));
    screen.set(&"personal".parse().expect("a name"), Action::Quarantine);
    let withheld = screen.json(&mut Json::text("to a@example.com"), &mut counts).expect_err("quarantined");
    assert_eq!(withheld.reason, Reason::SecretFound);
    assert!(!withheld.detail.contains('@'), "the reason does not repeat the secret");
    assert!("emial".parse::<Finds>().is_err());
}

#[test]
fn a_secret_that_is_cut_is_redacted_in_both_parts() {
    let mut screen = Screen::open();
    screen.set(&"all".parse().expect("a name"), Action::Redact);
    let text = "to mia@example.com now";
    let marks = screen.marks(text).expect("nothing is quarantined");
    let mut counts = Redacted::default();
    assert_eq!(part(text, 0..7, &marks, &mut counts), "to [REDACTED:email]");
    assert_eq!(part(text, 7..22, &marks, &mut counts), "[REDACTED:email] now");
    assert_eq!(part(text, 18..22, &marks, &mut counts), " now");
}
