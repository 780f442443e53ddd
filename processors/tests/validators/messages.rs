//! Messages, plain and with one fault each, the fault disguised as people disguise it.

use super::Made;
use super::desk::{Desk, Dice, FIRST, Person};
use serde_json::json;

pub(super) const FAULTS: &[&str] = &[
    "ssn",
    "asks_for_ssn",
    "pay_disclosed",
    "pay_band",
    "wrong_name",
    "wrong_recipient",
    "other_workers_phone",
    "other_workers_email",
    "discriminatory",
    "asks_protected",
    "promise",
    "placeholder",
    "empty_subject",
    "suspicious_link",
    "unknown_link",
    "asks_for_bank_details",
    "names_other_worker",
    "unknown_recipient",
];

pub(super) fn all(desk: &Desk, seed: u64, number: usize) -> impl Iterator<Item = Made> {
    let mut dice = Dice::new(seed);
    (0..number).map(move |n| {
        // One of three is plain, and the others have each fault in turn.
        let fault = (n % 3 != 0).then(|| FAULTS[(n / 3 * 2 + n % 3 - 1) % FAULTS.len()]);
        one(desk, &mut dice, fault)
    })
}

/// Sentences that anybody may send.
const PLAIN: &[&str] = &[
    "Your next shift is on Monday at 6:00 at dock 12.",
    "Please bring your steel-toed boots and a vest.",
    "Parking is at gate 4, and it is free.",
    "The site is at 1200 Oak Street, Suite 340.",
    "Your reference is 20260317 for this order.",
    "Call the desk at (555) 555-0142 if you are late.",
    "We look forward to seeing you.",
    "The shift takes 8 hours with 30 minutes of rest.",
    "There are 24 people on the team.",
    "Reply by Friday to confirm.",
    "The first day begins with a short tour.",
    "We will never ask for your social security number by e-mail.",
    "We cannot guarantee overtime on this order.",
    "See https://desk.example.com/shifts for the map.",
    "Lunch costs $9 in the canteen.",
    "You can talk to us about pay in the office.",
    "Your 401k papers are in the post.",
    "The warehouse ships 85,000 boxes a week.",
    "We are an equal opportunity employer and welcome everyone regardless of age or religion.",
    "Zip code 60601-1234, gate code 4411.",
];

fn ssn(dice: &mut Dice) -> String {
    let area = 100 + dice.below(500);
    // 666 is never given; no other area of these is out.
    let (group, serial) = (10 + dice.below(89), 1_000 + dice.below(8_999));
    let (a, g, s) = (area.to_string(), group.to_string(), serial.to_string());
    const WORDS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let spelled = |digits: &str| digits.bytes().map(|d| WORDS[usize::from(d - b'0')]).collect::<Vec<_>>().join(" ");
    let wide = |digits: &str| {
        digits.bytes().map(|d| char::from_u32(0xff10 + u32::from(d - b'0')).unwrap()).collect::<String>()
    };
    let apart = |digits: &str| digits.chars().map(String::from).collect::<Vec<_>>().join(" ");
    match dice.below(12) {
        0 => format!("On file we have {a}-{g}-{s}."),
        1 => format!("On file we have {a} {g} {s}."),
        2 => format!("On file we have {a}.{g}.{s} for you."),
        3 => format!("On file we have\n{a}-{g}-\n{s}"),
        4 => format!("Your SSN is {a}{g}{s}."),
        5 => format!("Your social security number: {} {} {}.", spelled(&a), spelled(&g), spelled(&s)),
        6 => format!("On file we have {}-{}-{}.", wide(&a), wide(&g), wide(&s)),
        7 => format!("On file we have {a}\u{200b}-{g}\u{200d}-{s}."),
        8 => format!("The number is {} {} {}.", apart(&a), apart(&g), apart(&s)),
        9 => format!("Call me at {a}{g}{s}."),
        10 => format!("The number is {a} dash {g} dash {s}."),
        _ => format!("On file we have \u{202d}{a}–{g}–{s}\u{202c}."),
    }
}

fn pay(dice: &mut Dice) -> String {
    let (hour, year) = (15 + dice.below(40), 31 + dice.below(90));
    match dice.below(12) {
        0 => format!("The salary is ${year},000."),
        1 => format!("The salary is {year}k."),
        2 => format!("You would earn {year},000 USD."),
        3 => format!("It is ${hour}.50/hr."),
        4 => format!("The rate is ${hour} an hour."),
        5 => format!("It pays {hour} dollars per hour."),
        6 => format!("The annual salary would be ${year}k."),
        7 => format!("You make USD {year},500 a year."),
        8 => "It pays twenty-two dollars an hour.".to_owned(),
        9 => format!("The base salary is {year} thousand."),
        10 => format!("Pay: ${hour}.25 hourly."),
        _ => format!("The compensation is €{year}.000."),
    }
}

fn one(desk: &Desk, dice: &mut Dice, fault: Option<&'static str>) -> Made {
    let worker = desk.active(dice);
    let other = loop {
        let other = desk.active(dice);
        if other.first != worker.first && other.last != worker.last {
            break other;
        }
    };
    let mut sentences: Vec<String> = (0..2 + dice.below(5)).map(|_| (*dice.of(PLAIN)).to_owned()).collect();
    let mut add = |dice: &mut Dice, sentence: String| {
        let at = dice.below(sentences.len() + 1);
        sentences.insert(at, sentence);
    };
    let (mut hello, mut to, mut subject) = (greeting(dice, worker), worker.email.clone(), "Your next shift".to_owned());
    let mut id = worker.id.clone();
    let pick = |dice: &mut Dice, of: &[&str]| (*dice.of(of)).to_owned();
    match fault {
        None => {}
        Some("ssn") => {
            let sentence = ssn(dice);
            add(dice, sentence);
        }
        Some("asks_for_ssn") => {
            let sentence = pick(
                dice,
                &[
                    "Please reply with your SSN.",
                    "Send us your social security number.",
                    "To finish, provide your Social Security Number.",
                    "We need your SSN today.",
                ],
            );
            add(dice, sentence);
        }
        Some("pay_disclosed") => {
            let sentence = pay(dice);
            add(dice, sentence);
        }
        Some("pay_band") => {
            let sentence = pick(
                dice,
                &[
                    "This is pay band C.",
                    "You are at pay grade 7.",
                    "It is in salary band 3.",
                    "The pay level 2 applies.",
                ],
            );
            add(dice, sentence);
        }
        Some("wrong_name") => {
            let wrong = FIRST.iter().find(|first| **first == other.first).unwrap();
            hello = match dice.below(4) {
                0 => format!("Hi {wrong},"),
                1 => format!("Dear {wrong} {},", other.last),
                2 => format!("Hello Ms. {},", other.last),
                _ => format!("Good morning {wrong}!"),
            };
        }
        Some("wrong_recipient") => to = other.email.clone(),
        Some("other_workers_phone") => {
            let digits: String = other.phone.chars().filter(char::is_ascii_digit).collect();
            let sentence = match dice.below(3) {
                0 => format!("Ask your colleague at {}.", other.phone),
                1 => format!("Ask your colleague at {}.{}.{}.", &digits[..3], &digits[3..6], &digits[6..]),
                _ => format!("Ask your colleague at +1 {digits}."),
            };
            add(dice, sentence);
        }
        Some("other_workers_email") => {
            let sentence = format!("Write to {} about it.", other.email.to_uppercase());
            add(dice, sentence);
        }
        Some("discriminatory") => {
            let sentence = pick(
                dice,
                &[
                    "The client wants young and energetic people.",
                    "Men only, please.",
                    "We need native English speakers.",
                    "Recent graduates only.",
                    "No women, the work is heavy.",
                    "US citizens only.",
                ],
            );
            add(dice, sentence);
        }
        Some("asks_protected") => {
            let sentence = pick(
                dice,
                &[
                    "Are you pregnant?",
                    "How old are you?",
                    "Do you have children?",
                    "What is your religion?",
                    "Are you married?",
                ],
            );
            add(dice, sentence);
        }
        Some("promise") => {
            let sentence = pick(
                dice,
                &[
                    "We guarantee a permanent contract.",
                    "You will definitely be hired.",
                    "The job is guaranteed.",
                    "I promise you will like it.",
                    "It is risk-free.",
                ],
            );
            add(dice, sentence);
        }
        Some("placeholder") => {
            let sentence = pick(
                dice,
                &[
                    "Report to [SUPERVISOR NAME].",
                    "The address is {address}.",
                    "It begins at {{start_time}}.",
                    "Ask for %NAME%.",
                    "The gate is TBD.",
                    "See [insert link] for it.",
                ],
            );
            add(dice, sentence);
        }
        Some("empty_subject") => subject = pick(dice, &["", "   ", "\u{200b}", "--"]),
        Some("suspicious_link") => {
            let sentence = pick(
                dice,
                &[
                    "Sign up at https://bit.ly/3abcde.",
                    "Sign up at http://203.0.113.9/form.",
                    "Sign up at https://desk.example.com@evil.example.net/.",
                    "Sign up at https://xn--dsk-tla.example.com/a.",
                ],
            );
            add(dice, sentence);
        }
        Some("unknown_link") => {
            let sentence = pick(
                dice,
                &[
                    "Sign up at https://forms.example.net/a.",
                    "See www.elsewhere.example.org for it.",
                    "Fill in forms.example.net/new first.",
                ],
            );
            add(dice, sentence);
        }
        Some("asks_for_bank_details") => {
            let sentence = pick(
                dice,
                &["Reply with your bank account.", "We need your routing number.", "Send your password to us."],
            );
            add(dice, sentence);
        }
        Some("names_other_worker") => {
            let sentence = format!("You will replace {} there.", other.name);
            add(dice, sentence);
        }
        Some("unknown_recipient") => id = "W-777777".to_owned(),
        Some(other) => unreachable!("{other}"),
    }
    let body = format!("{hello}\n\n{}\n\nBest regards,\nAlex Recruiter\nThe staffing desk", sentences.join(" "));
    let mut context = json!({"worker_id": id, "sender": {"name": "Alex Recruiter"}, "hosts": ["desk.example.com"]});
    // Whom one could mix them up with.
    context["candidates"] = json!([worker.id, other.id]);
    Made { artefact: json!({"to": to, "subject": subject, "body": body}), context, faults: fault.into_iter().collect() }
}

fn greeting(dice: &mut Dice, worker: &Person) -> String {
    match dice.below(8) {
        0 => format!("Hi {},", worker.first),
        1 => format!("Dear {} {},", worker.first, worker.last),
        2 => format!("Hello {}, {}:", worker.last, worker.first),
        3 => format!("Dear Ms. {},", worker.last),
        4 => format!("hi {},", worker.first.to_lowercase()),
        5 => format!("HELLO {}!", worker.first.to_uppercase()),
        6 => "Hello,".to_owned(),
        _ => format!("Good morning {} -", worker.first),
    }
}
