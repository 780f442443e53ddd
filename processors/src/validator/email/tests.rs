//! What a recruiter would not want sent, and what they send every day.

use super::super::tests::{check, codes, roster};
use super::super::{Artefact, Verdict};
use serde_json::{Value, json};

const SUBJECT: &str = "Forklift shift on Monday";

fn body(text: &str) -> Value {
    json!({"to": "maria.garcia@example.com", "subject": SUBJECT, "body": format!("Hi Maria,\n\n{text}\n\nBest regards,\nAlex Recruiter")})
}

fn greeting(text: &str) -> Value {
    json!({"to": "maria.garcia@example.com", "subject": SUBJECT, "body": format!("{text}\n\nYour shift begins at six.")})
}

fn context() -> Value {
    json!({"worker_id": "W-1001", "sender": {"name": "Alex Recruiter", "email": "alex@desk.example.com"}, "candidates": ["W-1002"]})
}

fn found(artefact: &Value) -> super::super::Checked {
    check("email", &Value::Null, &Artefact::of_json(artefact.clone()), &context(), Some(&roster()))
}

#[test]
fn what_must_not_be_sent() {
    let cases: Vec<(&str, Value, &[&str])> = vec![
        ("a number with dashes", body("Your SSN 123-45-6789 is on file."), &["ssn"]),
        ("with spaces", body("On file: 123 45 6789"), &["ssn"]),
        ("with dots", body("On file: 123.45.6789."), &["ssn"]),
        ("with slashes", body("On file: 123/45/6789"), &["ssn"]),
        ("with underscores", body("On file: 123_45_6789"), &["ssn"]),
        ("across lines", body("On file:\n123-45-\n6789"), &["ssn"]),
        ("across three lines", body("On file:\n123\n45\n6789"), &["ssn"]),
        ("in one piece, named", body("Social security number: 123456789"), &["ssn"]),
        ("digit by digit", body("It is 1 2 3 4 5 6 7 8 9, as you said."), &["ssn"]),
        ("in words", body("It is one two three, four five, six seven eight nine."), &["ssn"]),
        ("with words for the dashes", body("It is 123 dash 45 dash 6789"), &["ssn"]),
        ("words and digits", body("It is 123 - four five - 6789"), &["ssn"]),
        ("as a telephone number", body("Call me at 123456789."), &["ssn"]),
        ("in full-width digits", body("On file: １２３－４５－６７８９"), &["ssn"]),
        ("in Arabic digits", body("On file: ١٢٣-٤٥-٦٧٨٩"), &["ssn"]),
        ("with zero-width characters", body("On file: 12\u{200b}3-4\u{200d}5-67\u{2060}89"), &["ssn"]),
        ("with bidirectional marks", body("On file: \u{202d}123-45-6789\u{202c}"), &["ssn"]),
        ("with letters for digits", body("SSN: l23-45-678O"), &["ssn"]),
        ("with en dashes and blanks", body("On file: 123 – 45 – 6789"), &["ssn"]),
        ("a taxpayer number", body("ITIN 912-70-1234"), &["ssn"]),
        ("the last four", body("We have the SSN ending in 6789."), &["ssn_partial"]),
        ("nine digits", body("On file: 987654321"), &["ssn_possible"]),
        ("asked for", body("Please reply with your Social Security number."), &["asks_for_ssn"]),
        (
            "in the telephone field",
            json!({"to": "maria.garcia@example.com", "subject": SUBJECT, "body": "Hi Maria, see you.", "phone": "123456789"}),
            &["ssn"],
        ),
        (
            "in the subject",
            json!({"to": "maria.garcia@example.com", "subject": "123-45-6789", "body": "Hi Maria, see you."}),
            &["ssn"],
        ),
        ("a salary", body("The salary is $65,000."), &["pay_disclosed"]),
        ("in thousands", body("The base is 65k."), &["pay_disclosed"]),
        ("with a currency behind", body("You would earn 65,000 USD."), &["pay_disclosed"]),
        ("with a point as in Europe", body("The salary is 65.000 EUR."), &["pay_disclosed"]),
        ("by the hour", body("It is $22.50/hr."), &["pay_disclosed"]),
        ("by the hour, in words", body("It pays twenty-two dollars an hour."), &["pay_disclosed"]),
        ("without a sign", body("The rate is 22 per hour."), &["pay_disclosed"]),
        ("thousands in words", body("The salary is sixty-five thousand a year."), &["pay_disclosed"]),
        ("a range", body("Pay is between $20 and $24 per hour."), &["pay_disclosed", "pay_disclosed"]),
        ("in full-width digits", body("The salary is ＄６５，０００."), &["pay_disclosed"]),
        ("a pay band", body("This is pay band C."), &["pay_band"]),
        ("a pay grade", body("You are at pay grade 7."), &["pay_band"]),
        ("the top of the band", body("You are at the top of the salary band."), &["pay_band"]),
        ("the bill rate", body("Our bill rate is $41 for you."), &["bill_rate"]),
        ("the markup", body("Our markup is 38 percent."), &["bill_rate"]),
        ("another's name", greeting("Hi James,"), &["wrong_name"]),
        ("another's last name", greeting("Dear Ms. Lopez,"), &["wrong_name"]),
        ("another's name without a sign", greeting("Hello William I have a shift for you"), &["wrong_name"]),
        ("another's name in HTML", greeting("<html><p>Hi <b></b>James,</p>"), &["wrong_name"]),
        ("a name with a letter wrong", greeting("Hi Marja,"), &["name_misspelt"]),
        (
            "another's address",
            json!({"to": "bill.chen@example.com", "subject": SUBJECT, "body": "Hi Maria, see you."}),
            &["wrong_recipient"],
        ),
        (
            "another's name before the address",
            json!({"to": "Bill Chen <maria.garcia@example.com>", "subject": SUBJECT, "body": "Hi Maria, see you."}),
            &["wrong_recipient"],
        ),
        (
            "no address",
            json!({"to": "maria.garcia@", "subject": SUBJECT, "body": "Hi Maria, see you."}),
            &["bad_address"],
        ),
        (
            "two recipients",
            json!({"to": "maria.garcia@example.com", "cc": "bill.chen@example.com", "subject": SUBJECT, "body": "Hi Maria, see you."}),
            &["several_recipients"],
        ),
        ("another's telephone number", body("Call your colleague at 312.555.0102."), &["other_workers_phone"]),
        (
            "another's telephone number in words",
            body("Call three one two five five five zero one zero two."),
            &["other_workers_phone"],
        ),
        ("another's address in the text", body("Write to Bill.Chen@example.com first."), &["other_workers_email"]),
        ("another worker's name", body("You will replace Dana Sample there."), &["names_other_worker"]),
        ("an age", body("We want someone young and energetic."), &["discriminatory"]),
        ("a sex", body("Men only, please."), &["discriminatory"]),
        ("a mother tongue", body("The client wants a native English speaker."), &["discriminatory"]),
        ("look-alikes in it", body("We want a nаtivе Еnglish sреakеr."), &["discriminatory"]),
        ("family plans", body("Are you planning to have children?"), &["asks_protected"]),
        ("a birthday", body("What is your date of birth?"), &["asks_protected"]),
        ("a guarantee", body("We guarantee that you will stay."), &["promise"]),
        ("a promise", body("I promise the position is yours."), &["promise", "promise"]),
        ("a threat", body("Reply now, or else."), &["pressure"]),
        ("a rude word", body("Do not be stupid."), &["unprofessional"]),
        ("bank details", body("Send us your bank account for the deposit."), &["asks_for_bank_details"]),
        ("a fee", body("There is a registration fee to pay first."), &["asks_for_money"]),
        ("a blank", greeting("Hi {name},"), &["placeholder"]),
        ("a double blank", greeting("Hi {{first_name}},"), &["placeholder"]),
        ("a blank in brackets", greeting("Hi [NAME],"), &["placeholder"]),
        ("your own name", body("Regards,\n[Your Name]"), &["placeholder"]),
        ("a blank in angles", greeting("Hi <FIRST NAME>,"), &["placeholder"]),
        ("a blank in percent signs", greeting("Hi %NAME%,"), &["placeholder"]),
        ("a blank of a shell", body("See ${link} for it."), &["placeholder"]),
        ("nobody", greeting("Hi ,"), &["placeholder"]),
        ("undefined", greeting("Hi undefined,"), &["placeholder"]),
        ("to be done", body("The address is TBD."), &["placeholder"]),
        (
            "no subject",
            json!({"to": "maria.garcia@example.com", "subject": " \u{200b}", "body": "Hi Maria, see you."}),
            &["empty_subject"],
        ),
        ("no body", json!({"to": "maria.garcia@example.com", "subject": SUBJECT, "body": "\n"}), &["empty_body"]),
        ("a short link", body("Sign up at https://bit.ly/3xyz"), &["suspicious_link"]),
        ("a link with a user", body("Sign up at https://desk.example.com@evil.example.net/x"), &["suspicious_link"]),
        ("a link to a number", body("Sign up at http://203.0.113.7/x"), &["suspicious_link"]),
        ("a link with look-alikes", body("Sign up at https://dеsk.example.com/x"), &["suspicious_link"]),
        ("a link to a stranger", body("Sign up at www.stranger.example.org/x"), &["unknown_link"]),
        ("capitals", body("YOU HAVE TO COME TO THIS SHIFT TODAY PLEASE"), &["shouting"]),
        ("the model's own words", body("Sure! Here's a draft of the message."), &["left_over"]),
    ];
    assert!(cases.len() >= 30);
    let mut wrong = Vec::new();
    for (what, artefact, expected) in cases {
        let found = found(&artefact);
        if codes(&found) != expected {
            wrong.push(format!("{what}: {found:?}"));
        }
        assert!(found.findings.iter().all(|finding| !finding.remedy.is_empty() && !finding.message.is_empty()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_sent_every_day() {
    let cases = [
        "Your shift at the Oak Street warehouse is on Monday, March 2, from 6:00 to 14:00.",
        "Call me at (312) 555-0199 or 312-555-0198 ext. 12, or at +1 312 555 0197.",
        "Your job reference is 123456789 and the badge number 987654321.",
        "Order no. 2026-03-0217, dock 12, gate 4. Zip code 60601-1234.",
        "It is 123 Main Street, Suite 4567, Chicago, IL 60601.",
        "We will never ask for your social security number by e-mail.",
        "Please bring your Social Security card to orientation on Tuesday.",
        "Do not send your SSN to anybody.",
        "Parking costs $5 a day; lunch is $8.",
        "There is a $50 gift card in the raffle.",
        "Your 401k papers come in the post.",
        "The charity 5k run is on Sunday, if you want to come.",
        "We can talk about pay when you come in.",
        "Pay is every Friday.",
        "You will work 40 hours a week for 12 weeks.",
        "The warehouse moves 65,000 boxes a year.",
        "About 20 people work each shift, and 3 supervisors.",
        "We are an equal opportunity employer: we welcome everybody regardless of age, sex, religion, disability or national origin.",
        "Tell us if you need an accommodation for a disability.",
        "We cannot guarantee overtime.",
        "There is no guarantee that the shift is extended.",
        "40 guaranteed hours under the contract.",
        "We do not promise anything that we cannot keep.",
        "Enter your bank account in the onboarding portal on the first day.",
        "Never give your password to anybody.",
        "You never pay a fee to us.",
        "Wear steel-toed boots [size 9 or more are in stock] and a vest.",
        "Items: 1) vest 2) boots 3) gloves. See note [1].",
        "If the temperature is < 40 or > 90, we call you.",
        "See https://desk.example.com/shifts/7 for the map.",
        "Your number 312-555-0101 is what we have; tell us if it changed.",
        "Write to alex@desk.example.com or maria.garcia@example.com.",
        "Ask for Oak Street Gate Three, next to Blue Line.",
        "The young peaches aisle is number 12.",
        "Please reply by Friday at noon. Thank you!",
        "The OSHA card and PPE are a MUST for you.",
    ];
    let mut wrong = Vec::new();
    for text in cases {
        let found = found(&body(text));
        if !found.findings.is_empty() || found.verdict() != Verdict::Pass {
            wrong.push(format!("{text}: {found:?}"));
        }
    }
    for hello in [
        "Hi Maria,",
        "Dear María,",
        "Hello Ms. Garcia,",
        "Hi Maria Garcia!",
        "Dear Garcia, Maria:",
        "Hola María,",
        "Good morning Maria -",
        "hi maria,",
        "HI MARIA,",
        "Hi Maria I have a shift for you",
        "Hi there,",
        "Hello,",
        "Dear team,",
        "Dear candidate,",
        "Maria,",
        "Hi M. Garcia,",
        "Hi Mаria,",
        "<p>Hi Maria,</p>",
        "Hi Mary,",
        "Hi! I have a shift.",
        "Good afternoon,",
        "Hope you are well, Maria.",
        "Thanks for your time, James and I talked.",
    ] {
        let found = found(&greeting(hello));
        if !found.findings.is_empty() {
            wrong.push(format!("{hello}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_message_of_plain_text_is_one() {
    let text = "To: Maria Garcia <maria.garcia@example.com>\nFrom: alex@desk.example.com\nSubject: Shift\n\nHi Maria,\nit pays $22 an hour.";
    let found = check("email", &Value::Null, &Artefact::of_text(text), &context(), Some(&roster()));
    assert_eq!(codes(&found), ["pay_disclosed"]);
    let finding = &found.findings[0];
    assert_eq!((finding.field.as_deref(), finding.span.clone()), (Some("body"), Some(19..21)));
    let found = check("email", &Value::Null, &Artefact::of_text("Hi, come in."), &Value::Null, None);
    assert_eq!(codes(&found), ["empty_subject", "no_recipient"]);
}

#[test]
fn the_recipient_is_found_without_an_id() {
    let message = json!({"to": "someone@example.com", "subject": SUBJECT, "body": "Hi James, see you."});
    let of = |context: Value| {
        let found = check("email", &Value::Null, &Artefact::of_json(message.clone()), &context, Some(&roster()));
        codes(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of(json!({"worker": {"name": "Maria Garcia"}})), ["wrong_recipient", "wrong_name"]);
    assert_eq!(
        of(json!({"recipient": {"name": "James Nobody", "email": "someone@example.com"}})),
        Vec::<String>::new()
    );
    assert_eq!(of(json!({"worker_id": "W-9999"})), ["unknown_recipient"]);
    assert_eq!(of(json!({})), Vec::<String>::new());
}

#[test]
fn settings_let_go() {
    let settings = json!({"allow_pay": true, "hosts": ["stranger.example.org"], "names": ["James"]});
    let message = json!({"to": "maria.garcia@example.com", "subject": SUBJECT, "body": "Hi James,\n$22 an hour, see https://www.stranger.example.org/x"});
    let found = check("email", &settings, &Artefact::of_json(message), &context(), Some(&roster()));
    assert_eq!(codes(&found), Vec::<&str>::new());
}
