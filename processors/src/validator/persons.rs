//! Names of persons compared: case, accents, order, titles, initials and nicknames make no difference.

use super::fold::folded;

/// How two names agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// They can be one person's.
    Same,
    /// One letter off.
    Misspelt,
    /// They are not.
    Other,
}

const TITLES: &[&str] =
    &["mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "madam", "jr", "sr", "ii", "iii", "iv", "rn", "lpn", "cna"];

/// The parts of a name, folded: letters only, spellings of one sound alike, titles gone.
pub(super) fn parts(name: &str) -> Vec<String> {
    // An umlaut is written with an e after it, where it is not written with dots.
    let plain: String = name.chars().flat_map(|c| umlaut(c).map_or_else(|| Spelled::One(c), Spelled::Two)).collect();
    let text = folded(&plain);
    let all = text.split(|c: char| !c.is_alphanumeric() && c != '\'');
    let clean = all.map(|part| part.replace('\'', "")).filter(|part| !part.is_empty());
    let parts: Vec<String> = clean.filter(|part| !TITLES.contains(&part.as_str())).map(|part| sound(&part)).collect();
    parts
}

enum Spelled {
    One(char),
    Two([char; 2]),
}

impl IntoIterator for Spelled {
    type Item = char;
    type IntoIter = std::iter::Take<std::array::IntoIter<char, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::One(c) => [c, c].into_iter().take(1),
            Self::Two(both) => both.into_iter().take(2),
        }
    }
}

fn umlaut(c: char) -> Option<[char; 2]> {
    match c {
        'ä' | 'Ä' | 'æ' | 'Æ' => Some(['a', 'e']),
        'ö' | 'Ö' | 'ø' | 'Ø' | 'œ' => Some(['o', 'e']),
        'ü' | 'Ü' => Some(['u', 'e']),
        'å' | 'Å' => Some(['a', 'a']),
        _ => None,
    }
}

/// `ae`, `oe`, `ue` and `aa` as the vowel that they may stand for.
fn sound(part: &str) -> String {
    part.replace("ae", "a").replace("oe", "o").replace("ue", "u").replace("aa", "a")
}

/// Whether what somebody is called can be this person's name: all of it, or its first or last part, in any order.
pub(super) fn compare(called: &str, name: &str) -> Likeness {
    let (called, name) = (parts(called), parts(name));
    if called.is_empty() || name.is_empty() {
        return Likeness::Same;
    }
    let joined = |parts: &[String]| parts.concat();
    if joined(&called) == joined(&name) {
        return Likeness::Same;
    }
    let mut free: Vec<&String> = name.iter().collect();
    let mut misspelt = false;
    // Whole parts are given away before initials, so that `J. James` is not left without its James.
    let mut called: Vec<&String> = called.iter().collect();
    called.sort_by_key(|part| std::cmp::Reverse(part.chars().count()));
    for part in called {
        let found = (free.iter().position(|own| *own == part))
            .or_else(|| free.iter().position(|own| is_nickname(part, own)))
            .or_else(|| free.iter().position(|own| is_initial(part, own)));
        if let Some(found) = found {
            free.remove(found);
        } else if let Some(found) = free.iter().position(|own| is_near(part, own)) {
            misspelt = true;
            free.remove(found);
        } else {
            return Likeness::Other;
        }
    }
    if misspelt { Likeness::Misspelt } else { Likeness::Same }
}

/// `j` for `james`, `mj` is none.
fn is_initial(part: &str, own: &str) -> bool {
    (part.chars().count() == 1 || own.chars().count() == 1) && part.chars().next() == own.chars().next()
}

/// One letter too many, too few, another, or two changed over, in a part of five letters or more.
fn is_near(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let (long, short) = if a.len() >= b.len() { (&a, &b) } else { (&b, &a) };
    if short.len() < 4 || long.len() > 40 || long.len() - short.len() > 1 {
        return false;
    }
    let start = long.iter().zip(short).take_while(|(x, y)| x == y).count();
    let end = long[start..].iter().rev().zip(short[start..].iter().rev()).take_while(|(x, y)| x == y).count();
    let (left_long, left_short) = (long.len() - start - end, short.len() - start - end);
    match (left_long, left_short) {
        (0 | 1, 0 | 1) => true,
        (2, 2) => long[start] == short[start + 1] && long[start + 1] == short[start],
        _ => false,
    }
}

/// Whether both stand in one row of the table.
fn is_nickname(a: &str, b: &str) -> bool {
    NICKNAMES.iter().any(|row| {
        let mut names = row.split(' ');
        let has = |name: &str| row.split(' ').any(|own| own == name);
        names.next().is_some() && has(a) && has(b)
    })
}

/// Names that one person goes by.
const NICKNAMES: &[&str] = &[
    "william will bill billy willy liam guillermo",
    "robert rob bob bobby robbie roberto beto",
    "richard rich rick dick ricky ricardo",
    "james jim jimmy jamie jaime",
    "john jack johnny jon juan",
    "jonathan jon jonny nathan",
    "joseph joe joey jose pepe",
    "michael mike mick mickey miguel",
    "margaret maggie meg peggy marge greta",
    "elizabeth liz beth lizzie betty eliza lisa libby elisabeth isabel",
    "katherine kate kathy katie kat catherine cathy kathryn catalina",
    "thomas tom tommy tomas",
    "charles charlie chuck carlos",
    "edward ed eddie ted ned eduardo",
    "anthony tony antonio toni",
    "christopher chris kit cristobal",
    "christina chris tina christine cristina",
    "daniel dan danny",
    "danielle dani",
    "david dave davey",
    "matthew matt mateo",
    "nicholas nick nicky nicolas",
    "steven steve stephen esteban",
    "patricia pat patty tricia trish",
    "patrick pat paddy",
    "jennifer jen jenny jenn",
    "jessica jess jessie",
    "susan sue susie suzanne",
    "deborah deb debbie debra",
    "rebecca becca becky",
    "barbara barb barbie",
    "samuel sam sammy",
    "samantha sam sammie",
    "alexander alex al sasha alejandro xander",
    "alexandra alex sandra sasha lexi alejandra",
    "benjamin ben benny benji",
    "andrew andy drew andres",
    "gregory greg gregg",
    "timothy tim timmy",
    "kenneth ken kenny",
    "ronald ron ronnie",
    "donald don donnie",
    "lawrence larry lorenzo",
    "leonard leo lenny",
    "frederick fred freddie federico",
    "francis frank fran francisco paco pancho",
    "frances fran francie francisca",
    "henry hank harry enrique",
    "harold hal harry",
    "theodore ted theo teddy",
    "abigail abby gail",
    "amanda mandy",
    "cynthia cindy",
    "dorothy dot dottie",
    "eleanor ellie nell nora leonor",
    "gabriel gabe",
    "gabriela gabby gabi",
    "jacob jake jacobo",
    "joshua josh",
    "judith judy",
    "kimberly kim kimmy",
    "madeline maddie",
    "maria mary mia mari",
    "melissa mel missy lissa",
    "nathaniel nate nathan",
    "pamela pam",
    "peter pete pedro",
    "philip phil felipe phillip",
    "raymond ray ramon",
    "rafael rafa",
    "sandra sandy",
    "stephanie steph estefania",
    "teresa terry tess theresa",
    "terrence terry",
    "valerie val",
    "vanessa nessa",
    "victoria vicky tori",
    "vincent vince vinny vicente",
    "walter walt wally",
    "zachary zach zack",
    "guadalupe lupe",
    "ignacio nacho",
    "dolores lola",
    "rosario charo",
    "aleksandr sasha alex",
    "mikhail misha",
    "dmitri dima",
    "ekaterina katya",
    "mohammed muhammad mohamed mohammad mo",
    "yusuf yousef joseph",
];

#[cfg(test)]
mod tests {
    use super::Likeness::{Misspelt, Other, Same};
    use super::*;

    #[test]
    fn one_person_has_many_names() {
        for (called, name, expected) in [
            ("Maria", "Maria Garcia", Same),
            ("García, María", "Maria Garcia", Same),
            ("MARÍA GARCÍA", "Maria Garcia", Same),
            ("Ms. Garcia", "Maria Garcia", Same),
            ("M. Garcia", "Maria Garcia", Same),
            ("Bill", "William Chen", Same),
            ("Bob Chen", "Robert Chen", Same),
            ("Mueller", "Jürgen Müller", Same),
            ("Jürgen", "Juergen Mueller", Same),
            ("Soren", "Søren Kjær", Same),
            ("Мaria", "Maria Garcia", Same),
            ("O’Brien", "Sean OBrien", Same),
            ("Anne Marie", "Anne-Marie Dubois", Same),
            ("AnneMarie Dubois", "Anne-Marie Dubois", Same),
            ("Nguyen Thi Lan", "Lan Thi Nguyen", Same),
            ("Dr. Wei Zhang", "Zhang Wei", Same),
            ("Marai", "Maria Garcia", Misspelt),
            ("Jonh Smith", "John Smith", Misspelt),
            ("James", "Maria Garcia", Other),
            ("Maria Lopez", "Maria Garcia", Other),
            ("Bill", "Robert Chen", Other),
            ("Ann", "Amy Lee", Other),
        ] {
            assert_eq!(compare(called, name), expected, "{called} / {name}");
        }
    }
}
