//! Generates manifests that two readers may read in two ways: valid ones, into which a few faults are injected.

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const TYPES: &[&str] = &[
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.in-toto+json",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.empty.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip; charset=utf-8",
    "text/spdx",
    "layer",
];
/// Values for members that expect other types.
const ODD: &[&str] = &[
    "null",
    "[]",
    "{}",
    "\"\"",
    "2",
    "2.0",
    "2e0",
    "-1",
    "-0",
    "9223372036854775807",
    "9223372036854775808",
    "1e999",
    "true",
    "[null]",
    "[\"a\",null]",
    "{\"a\":null}",
    "{\"a\":\"b\",\"a\":\"c\",\"A\":\"d\"}",
    "\"\\ud800\"",
    "\"e30=\"",
    "\"e30\"",
    "\"e3\\n0=\"",
];

type Object = Vec<(String, Value)>;

#[derive(Clone)]
enum Value {
    Raw(String),
    Object(Object),
    List(Vec<Value>),
}

/// Generates manifests, always the same ones from the same seed.
pub(crate) struct Generator(u64);

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end` (splitmix64).
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    pub(crate) fn manifest(&mut self) -> Vec<u8> {
        let mut object = self.valid();
        for _ in 0..self.below(4) {
            self.spoil(&mut object);
        }
        let mut text = String::new();
        self.write(&Value::Object(object), &mut text);
        let mut bytes = text.into_bytes();
        if self.below(50) == 0 {
            let at = self.below(bytes.len());
            bytes[at] = 0xff;
        }
        if self.below(50) == 0 {
            bytes.extend_from_slice(self.one(&["{}", " \n", ",", "null", "\u{0}"]).as_bytes());
        }
        bytes
    }

    fn valid(&mut self) -> Object {
        let text = |text: &str| Value::Raw(format!("\"{text}\""));
        let mut object: Object = vec![("schemaVersion".into(), Value::Raw("2".into()))];
        let index = self.below(4) == 0;
        if self.below(2) == 0 {
            let kind = if index { "index" } else { "manifest" };
            object.push(("mediaType".into(), text(&format!("application/vnd.oci.image.{kind}.v1+json"))));
        }
        let mut list = Vec::new();
        for _ in 0..=self.below(3) {
            list.push(Value::Object(self.descriptor()));
        }
        if index {
            object.push(("manifests".into(), Value::List(list)));
        } else {
            object.push(("config".into(), Value::Object(self.descriptor())));
            object.push(("layers".into(), Value::List(list)));
        }
        if self.below(3) == 0 {
            object.push(("subject".into(), Value::Object(self.descriptor())));
        }
        if self.below(3) == 0 {
            object.push((
                "annotations".into(),
                Value::Object(vec![("Layers".into(), text("x")), ("a".into(), text(""))]),
            ));
        }
        if self.below(4) == 0 {
            object.push(("artifactType".into(), text(self.one(TYPES))));
        }
        object
    }

    fn descriptor(&mut self) -> Object {
        let kind = self.one(TYPES);
        let size = self.below(1 << 20);
        let mut object: Object = vec![
            ("mediaType".into(), Value::Raw(format!("\"{kind}\""))),
            ("digest".into(), Value::Raw(format!("\"sha256:{HEX}\""))),
            ("size".into(), Value::Raw(size.to_string())),
        ];
        match self.below(6) {
            0 => {
                object.push(("urls".into(), Value::List(vec![Value::Raw("\"https://a.example/b\"".into())])));
            }
            1 => object
                .push(("annotations".into(), Value::Object(vec![("k".into(), Value::Raw("\"v\"".into()))]))),
            2 => object.push((
                "platform".into(),
                Value::Object(vec![
                    ("os".into(), Value::Raw("\"linux\"".into())),
                    ("architecture".into(), Value::Raw("\"amd64\"".into())),
                ]),
            )),
            3 => object.push(("data".into(), Value::Raw("\"e30=\"".into()))),
            _ => {}
        }
        object
    }

    /// Injects one fault, at this level or deeper.
    fn spoil(&mut self, object: &mut Object) {
        if object.is_empty() {
            return;
        }
        let at = self.below(object.len());
        if self.below(2) == 0 {
            let deeper = match &mut object[at].1 {
                Value::Object(inner) => Some(inner),
                Value::List(items) if !items.is_empty() => {
                    let which = self.below(items.len());
                    if let Value::Object(inner) = &mut items[which] { Some(inner) } else { None }
                }
                _ => None,
            };
            if let Some(inner) = deeper {
                return self.spoil(inner);
            }
        }
        match self.below(8) {
            0 => object[at].0 = self.variant(&object[at].0.clone()),
            1 => {
                let (name, value) = object[at].clone();
                let twice = (self.variant(&name), value);
                object.insert(self.below(object.len() + 1), twice);
            }
            2 => {
                let (name, other) = (object[at].0.clone(), self.below(object.len()));
                let value = object[other].1.clone();
                object.push((name, value));
            }
            3 => object[at].1 = Value::Raw(self.one(ODD).to_owned()),
            4 => {
                object.remove(at);
            }
            5 => object.push((self.unknown(), Value::Raw(self.one(ODD).to_owned()))),
            6 => object[at].1 = Value::Raw(format!("\"{}\"", self.one(TYPES))),
            _ => object.swap(at, 0),
        }
    }

    /// A name that is the same to Go, or nearly the same.
    fn variant(&mut self, name: &str) -> String {
        let first = name.chars().next().unwrap_or('x');
        match self.below(8) {
            0 => name.to_uppercase(),
            1 => name.to_lowercase(),
            2 => name.replacen(first, &first.to_ascii_uppercase().to_string(), 1),
            3 => name.replace('s', "\u{17f}"),
            4 => name.replace('k', "\u{212a}").replace('s', "\\u017f"),
            5 => name.replacen(first, &format!("\\u{:04x}", u32::from(first)), 1),
            6 => format!("{name}_"),
            _ => name.to_owned(),
        }
    }

    fn unknown(&mut self) -> String {
        const NAMES: &[&str] =
            &["fsLayers", "FsLayers", "history", "com.example.layers", "layer", "Data", "data", "os"];
        self.one(NAMES).to_owned()
    }

    fn write(&mut self, value: &Value, into: &mut String) {
        match value {
            Value::Raw(text) => into.push_str(text),
            Value::List(items) => {
                into.push('[');
                for (at, item) in items.iter().enumerate() {
                    into.push_str(if at > 0 { "," } else { "" });
                    self.write(item, into);
                }
                into.push(']');
            }
            Value::Object(members) => {
                into.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    into.push_str(if at > 0 { "," } else { "" });
                    into.push_str(self.one(&["", " ", "\n\t"]));
                    into.push_str(&format!("\"{name}\":"));
                    self.write(value, into);
                }
                into.push('}');
            }
        }
    }
}
