//! A roster of people who do not exist.
//!
//! The same seed and number of workers give the same bytes, on any host: the generator is written out here, and nothing of
//! the clock or the library's version goes into the file. Names are put together of syllables, telephone numbers are of
//! the range 555-0100 to 555-0199 that is kept for fiction, e-mail addresses end in `example.com`.

use arrow_array::builder::{Date32Builder, Float32Builder, ListBuilder, StringBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use std::io::Write;
use std::sync::Arc;

/// Rows of a row group, and of a page.
const GROUP: usize = 65_536;
const PAGE: usize = 4_096;
const BATCH: usize = 8_192;
/// 2026-01-01, in days since 1970-01-01.
const NEW_YEAR: i32 = 20_454;

/// What was generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Workers.
    pub workers: usize,
    /// Bytes of the file.
    pub bytes: u64,
}

/// SplitMix64, by Sebastiano Vigna (public domain).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn in_hundred(&mut self, share: usize) -> bool {
        self.below(100) < share
    }
}

static FIRST: [&str; 64] = [
    "Ada", "Alma", "Amir", "Anna", "Arlo", "Aya", "Bela", "Bram", "Cara", "Cleo", "Dana", "Dario", "Dina", "Edda",
    "Elio", "Ella", "Emil", "Enzo", "Esme", "Ezra", "Faye", "Finn", "Gia", "Hana", "Hugo", "Ida", "Igor", "Ines",
    "Iris", "Ivo", "Jada", "Jonas", "Juno", "Kaia", "Kian", "Lara", "Levi", "Lina", "Luca", "Maia", "Milo", "Mira",
    "Nadia", "Nico", "Nora", "Odin", "Olga", "Omar", "Otis", "Pia", "Quin", "Remy", "Rosa", "Rudi", "Sami", "Sora",
    "Tara", "Theo", "Uma", "Vera", "Wim", "Yara", "Zane", "Zoë",
];
static ONSETS: [&str; 40] = [
    "Ash", "Bar", "Bel", "Bran", "Bril", "Cal", "Cor", "Dal", "Dray", "El", "Fen", "Fair", "Gar", "Glen", "Hal", "Har",
    "Hol", "Ing", "Kel", "Kin", "Lan", "Lin", "Mar", "Mel", "Mor", "Nor", "Oak", "Pem", "Quil", "Rav", "Ros", "Sel",
    "Stan", "Tal", "Thorn", "Val", "Wal", "Wes", "Win", "Yar",
];
static ENDINGS: [&str; 32] = [
    "beck", "bridge", "brook", "by", "combe", "croft", "dale", "den", "field", "ford", "gate", "grove", "ham", "hurst",
    "ison", "ley", "lock", "low", "mere", "mont", "more", "quist", "ridge", "shaw", "stead", "stone", "ton", "vale",
    "wick", "win", "wood", "worth",
];

/// Role, pay by the hour in cents from and to, certifications that it may come with.
static ROLES: [(&str, u32, u32, &[&str]); 24] = [
    ("Forklift Operator", 1_750, 2_600, &["OSHA 10", "Forklift"]),
    ("Warehouse Associate", 1_500, 2_100, &["OSHA 10"]),
    ("Order Picker", 1_500, 2_000, &["Forklift"]),
    ("Shipping Clerk", 1_600, 2_200, &[]),
    ("Inventory Clerk", 1_600, 2_250, &[]),
    ("Machine Operator", 1_700, 2_700, &["OSHA 10", "Lockout/Tagout"]),
    ("CNC Machinist", 2_200, 3_800, &["OSHA 10", "NIMS"]),
    ("Welder", 2_000, 3_700, &["AWS D1.1", "OSHA 10"]),
    ("Assembler", 1_550, 2_200, &[]),
    ("Quality Inspector", 1_850, 3_000, &["Six Sigma Yellow"]),
    ("Electrician", 2_600, 4_800, &["Journeyman Electrician", "OSHA 30"]),
    ("Plumber", 2_500, 4_600, &["Journeyman Plumber", "OSHA 10"]),
    ("HVAC Technician", 2_300, 4_200, &["EPA 608", "OSHA 10"]),
    ("Carpenter", 2_000, 3_600, &["OSHA 10", "Scaffold"]),
    ("Construction Laborer", 1_650, 2_500, &["OSHA 10", "Flagger"]),
    ("Truck Driver", 2_200, 3_600, &["CDL A", "Hazmat"]),
    ("Delivery Driver", 1_600, 2_300, &["CDL B"]),
    ("Registered Nurse", 3_400, 6_200, &["RN", "BLS", "ACLS"]),
    ("Nursing Assistant", 1_700, 2_400, &["CNA", "BLS"]),
    ("Medical Assistant", 1_750, 2_500, &["CMA", "BLS"]),
    ("Line Cook", 1_500, 2_200, &["ServSafe"]),
    ("Custodian", 1_450, 1_950, &[]),
    ("Security Officer", 1_550, 2_300, &["Guard Card"]),
    ("Administrative Assistant", 1_700, 2_700, &[]),
];

static CITIES: [(&str, &str, f32, f32); 40] = [
    ("Chicago", "IL", 41.88, -87.63),
    ("Springfield", "IL", 39.80, -89.64),
    ("Joliet", "IL", 41.53, -88.08),
    ("Indianapolis", "IN", 39.77, -86.16),
    ("Fort Wayne", "IN", 41.08, -85.14),
    ("Columbus", "OH", 39.96, -83.00),
    ("Cleveland", "OH", 41.50, -81.69),
    ("Cincinnati", "OH", 39.10, -84.51),
    ("Springfield", "OH", 39.92, -83.81),
    ("Detroit", "MI", 42.33, -83.05),
    ("Grand Rapids", "MI", 42.96, -85.66),
    ("Milwaukee", "WI", 43.04, -87.91),
    ("Madison", "WI", 43.07, -89.40),
    ("Minneapolis", "MN", 44.98, -93.27),
    ("St. Paul", "MN", 44.95, -93.09),
    ("Des Moines", "IA", 41.59, -93.62),
    ("St. Louis", "MO", 38.63, -90.20),
    ("Kansas City", "MO", 39.10, -94.58),
    ("Springfield", "MO", 37.21, -93.29),
    ("Omaha", "NE", 41.26, -95.93),
    ("Nashville", "TN", 36.16, -86.78),
    ("Memphis", "TN", 35.15, -90.05),
    ("Louisville", "KY", 38.25, -85.76),
    ("Atlanta", "GA", 33.75, -84.39),
    ("Charlotte", "NC", 35.23, -80.84),
    ("Raleigh", "NC", 35.78, -78.64),
    ("Dallas", "TX", 32.78, -96.80),
    ("Houston", "TX", 29.76, -95.37),
    ("Austin", "TX", 30.27, -97.74),
    ("San Antonio", "TX", 29.42, -98.49),
    ("Denver", "CO", 39.74, -104.99),
    ("Phoenix", "AZ", 33.45, -112.07),
    ("Las Vegas", "NV", 36.17, -115.14),
    ("Portland", "OR", 45.52, -122.68),
    ("Seattle", "WA", 47.61, -122.33),
    ("Sacramento", "CA", 38.58, -121.49),
    ("Philadelphia", "PA", 39.95, -75.17),
    ("Pittsburgh", "PA", 40.44, -80.00),
    ("Newark", "NJ", 40.74, -74.17),
    ("Portland", "ME", 43.66, -70.26),
];

fn schema() -> Arc<Schema> {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let item = Arc::new(Field::new("item", DataType::Utf8, false));
    Arc::new(Schema::new(vec![
        text("id"),
        text("name"),
        text("role"),
        Field::new("certifications", DataType::List(item), false),
        text("city"),
        text("state"),
        Field::new("latitude", DataType::Float32, false),
        Field::new("longitude", DataType::Float32, false),
        Field::new("available_from", DataType::Date32, true),
        Field::new("available_until", DataType::Date32, true),
        Field::new("pay_min", DataType::UInt32, false),
        Field::new("pay_max", DataType::UInt32, false),
        text("phone"),
        text("email"),
        text("status"),
    ]))
}

/// Writes a Parquet file of `workers` synthetic workers.
///
/// # Errors
/// Whatever `out` says.
pub fn generate(workers: usize, seed: u64, out: impl Write + Send) -> Result<Generated, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_created_by("stillhouse".to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(GROUP))
        .set_data_page_row_count_limit(PAGE)
        .set_write_batch_size(PAGE);
    for distinct in ["id", "name", "phone", "email"] {
        properties = properties.set_column_dictionary_enabled(distinct.into(), false);
    }
    let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(out, schema(), options)?;
    let mut dice = Dice(seed);
    for from in (0..workers).step_by(BATCH) {
        writer.write(&batch(&mut dice, from, BATCH.min(workers - from))?)?;
    }
    writer.finish()?;
    let bytes = writer.bytes_written() as u64;
    Ok(Generated { workers, bytes })
}

fn batch(dice: &mut Dice, from: usize, rows: usize) -> Result<RecordBatch, ParquetError> {
    let mut texts: [StringBuilder; 8] = std::array::from_fn(|_| StringBuilder::new());
    let item = Arc::new(Field::new("item", DataType::Utf8, false));
    let mut certifications = ListBuilder::new(StringBuilder::new()).with_field(item);
    let (mut latitude, mut longitude) = (Float32Builder::new(), Float32Builder::new());
    let (mut since, mut until) = (Date32Builder::new(), Date32Builder::new());
    let (mut pay_min, mut pay_max) = (UInt32Builder::new(), UInt32Builder::new());
    for number in from + 1..=from + rows {
        let (first, onset, ending) = (*dice.one(&FIRST), *dice.one(&ONSETS), *dice.one(&ENDINGS));
        let (role, low, high, kinds) = *dice.one(&ROLES);
        let (city, state, lat, lon) = *dice.one(&CITIES);
        let status = match dice.below(100) {
            0..82 => "active",
            82..91 => "on_assignment",
            91..98 => "inactive",
            _ => "do_not_use",
        };
        let phone = format!("({}) 555-01{:02}", 200 + dice.below(800), dice.below(100));
        let initial = first[..1].to_lowercase();
        let email = format!("{initial}{}{number}@example.com", format!("{onset}{ending}").to_lowercase());
        let name = format!("{first} {onset}{ending}");
        let id = format!("W-{number:06}");
        for (text, value) in texts.iter_mut().zip([&*id, &*name, role, city, state, &*phone, &*email, status]) {
            text.append_value(value);
        }
        for kind in kinds {
            if dice.in_hundred(70) {
                certifications.values().append_value(kind);
            }
        }
        certifications.append(true);
        // Hundredths of a degree about the city's middle: a kilometre or so.
        let about = |dice: &mut Dice, middle: f32| middle + (dice.below(41) as f32 - 20.0) / 100.0;
        latitude.append_value(about(dice, lat));
        longitude.append_value(about(dice, lon));
        let begins = dice.in_hundred(90).then(|| NEW_YEAR - 60 + dice.below(240) as i32);
        since.append_option(begins);
        until.append_option(begins.filter(|_| dice.in_hundred(40)).map(|day| day + 30 + dice.below(300) as i32));
        let steps = ((high - low) / 25) as usize;
        let from = low + 25 * dice.below(steps / 2) as u32;
        pay_min.append_value(from);
        pay_max.append_value((from + 100 + 25 * dice.below(steps / 2) as u32).min(high.max(from + 100)));
    }
    let [mut id, mut name, mut role, mut city, mut state, mut phone, mut email, mut status] = texts;
    let text = |builder: &mut StringBuilder| -> ArrayRef { Arc::new(builder.finish()) };
    let columns: Vec<ArrayRef> = vec![
        text(&mut id),
        text(&mut name),
        text(&mut role),
        Arc::new(certifications.finish()),
        text(&mut city),
        text(&mut state),
        Arc::new(latitude.finish()),
        Arc::new(longitude.finish()),
        Arc::new(since.finish()),
        Arc::new(until.finish()),
        Arc::new(pay_min.finish()),
        Arc::new(pay_max.finish()),
        text(&mut phone),
        text(&mut email),
        text(&mut status),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}
