//! What is asked of a key server and what is made of its answers: CPIX 2.3 in SPEKE 2.0.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::LazyLock;

use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PrivateDecryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream_media::protection::{KeyId, KeySystem, Scheme, pssh};
use millstream_package::protection::cpix::{Error, MAX_ANSWER, Request};
use millstream_package::protection::sealed::{Recipient, RecipientError};
use proptest::prelude::*;

const ALL: [KeySystem; 3] = [KeySystem::Widevine, KeySystem::PlayReady, KeySystem::FairPlay];

fn request(systems: &[KeySystem]) -> Request<'_> {
    Request {
        content_id: "news & <more>",
        scheme: Scheme::Cbcs,
        systems,
        period: Some(7),
        audio_key: true,
        recipient: None,
    }
}

fn encode(text: impl AsRef<[u8]>) -> String {
    STANDARD.encode(text)
}

/// An answer as a key server makes it, with one thing changed.
fn answer(request: &Request<'_>, change: impl Fn(String) -> String) -> Vec<u8> {
    let (video, audio) = request.key_ids();
    let mut out = String::from(
        "<?xml version=\"1.0\"?>\n<cpix:CPIX xmlns:cpix=\"urn:dashif:org:cpix\" xmlns:k=\"urn:ietf:params:xml:ns:keyprov:pskc\" \
         contentId=\"x\" version=\"2.3\"><cpix:ContentKeyList>",
    );
    for (n, id) in [video, audio].iter().enumerate() {
        out += &format!(
            "<cpix:ContentKey explicitIV=\"{}\" kid=\"{id}\"><cpix:Data><k:Secret>\n<k:PlainValue>\n{}\n</k:PlainValue>\
             </k:Secret></cpix:Data></cpix:ContentKey>",
            encode([n as u8 + 9; 16]),
            encode([n as u8; 16])
        );
    }
    out += "</cpix:ContentKeyList><cpix:DRMSystemList>";
    for id in [video, audio] {
        for system in request.systems {
            let inner =
                "<pssh xmlns=\"urn:mpeg:cenc:2013\">AAAA</pssh><m:pro xmlns:m=\"urn:microsoft:playready\" m:a=\"1\"/>";
            out += &format!(
                "<cpix:DRMSystem kid=\"{id}\" systemId=\"{}\"><cpix:PSSH>{}</cpix:PSSH>\
                 <cpix:ContentProtectionData>{}</cpix:ContentProtectionData>\
                 <cpix:HLSSignalingData playlist=\"media\">{}</cpix:HLSSignalingData>\
                 <cpix:HLSSignalingData playlist=\"master\">{}</cpix:HLSSignalingData></cpix:DRMSystem>",
                system.id(),
                encode(pssh(system.id().0, &[], b"data")),
                encode(inner),
                encode(format!("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://{id}\",KEYFORMAT=\"{system:?}\"\n")),
                encode(format!("#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://{id}\",KEYFORMAT=\"{system:?}\"")),
            );
        }
    }
    change(out + "</cpix:DRMSystemList></cpix:CPIX>").into_bytes()
}

#[test]
fn the_question() {
    let text = request(&ALL).to_xml();
    let (video, audio) = request(&ALL).key_ids();
    assert_ne!(video, audio);
    assert_eq!(request(&ALL).key_ids(), (video, audio), "the same each time and at each origin");
    assert_ne!(Request { period: Some(8), ..request(&ALL) }.key_ids().0, video);
    assert_ne!(Request { content_id: "other", ..request(&ALL) }.key_ids().0, video);
    for wanted in [
        "contentId=\"news &amp; &lt;more&gt;\" version=\"2.3\"".to_owned(),
        format!("<cpix:ContentKey kid=\"{video}\" commonEncryptionScheme=\"cbcs\"/>"),
        format!("<cpix:DRMSystem kid=\"{audio}\" systemId=\"edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\">"),
        "<cpix:ContentKeyPeriod id=\"period-7\" index=\"7\"/>".to_owned(),
        format!(
            "<cpix:ContentKeyUsageRule kid=\"{audio}\" intendedTrackType=\"AUDIO\">\n<cpix:KeyPeriodFilter periodId=\"period-7\"/>"
        ),
    ] {
        assert!(text.contains(&wanted), "no {wanted} in {text}");
    }
    let one = Request { period: None, audio_key: false, scheme: Scheme::Cenc, ..request(&ALL) };
    assert_eq!(one.key_ids().0, one.key_ids().1);
    let text = one.to_xml();
    assert!(
        text.contains("intendedTrackType=\"ALL\"") && !text.contains("KeyPeriod") && !text.contains("HLS"),
        "{text}"
    );
}

#[test]
fn the_answer() {
    let request = request(&ALL);
    let keys = request.read(&answer(&request, |text| text)).unwrap();
    let (video, audio) = request.key_ids();
    assert_eq!((keys.pair.video.id(), keys.pair.video.expose(), keys.pair.video.iv()), (video, &[0; 16], [9; 16]));
    assert_eq!((keys.pair.audio.id(), keys.pair.audio.expose()), (audio, &[1; 16]));
    let (said, boxes) = &keys.said[&audio];
    assert_eq!((said.hls.len(), said.hls_session.len(), boxes.len()), (3, 3, 3));
    assert_eq!(said.hls[2], format!("METHOD=SAMPLE-AES,URI=\"skd://{audio}\",KEYFORMAT=\"FairPlay\""));
    let systems: Vec<&str> = said.dash.iter().map(|d| d.scheme_id_uri.as_str()).collect();
    assert_eq!(
        systems,
        ["urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed", "urn:uuid:9a04f079-9840-4286-ab92-e65be0885f95"],
        "FairPlay is for HLS alone"
    );
    assert!(said.dash[0].inner.starts_with("<pssh xmlns=\"urn:mpeg:cenc:2013\">"));
    // Where only the box is sent, the MPD has the box.
    let bare = |text: String| {
        let data = encode(
            "<pssh xmlns=\"urn:mpeg:cenc:2013\">AAAA</pssh><m:pro xmlns:m=\"urn:microsoft:playready\" m:a=\"1\"/>",
        );
        text.replace(&data, "")
    };
    let keys = request.read(&answer(&request, bare)).unwrap();
    let text = encode(&keys.said[&video].1[0]);
    assert_eq!(
        keys.said[&video].0.dash[0].inner,
        format!("<cenc:pssh xmlns:cenc=\"urn:mpeg:cenc:2013\">{text}</cenc:pssh>")
    );
    assert!(!format!("{keys:?}").contains("[0, 0, 0, 0, 0"), "keys are not shown");
}

#[test]
fn what_cannot_be_used_is_refused_as_a_whole() {
    let request = request(&ALL);
    let (video, _) = request.key_ids();
    type Change = Box<dyn Fn(String) -> String>;
    let swap = |from: String, to: String| -> Change {
        Box::new(move |text| {
            assert!(text.contains(&from), "no {from}");
            text.replace(&from, &to)
        })
    };
    let pssh_text = encode(pssh(KeySystem::Widevine.id().0, &[], b"data"));
    let other_text = encode(pssh([1; 16], &[], b"data"));
    let line = |id: KeyId| encode(format!("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://{id}\",KEYFORMAT=\"Widevine\"\n"));
    let inner =
        encode("<pssh xmlns=\"urn:mpeg:cenc:2013\">AAAA</pssh><m:pro xmlns:m=\"urn:microsoft:playready\" m:a=\"1\"/>");
    type Case = (&'static str, Change, fn(&Error) -> bool);
    let cases: Vec<Case> = vec![
        ("no XML", Box::new(|_| "nothing".to_owned()), |e| matches!(e, Error::Form(_))),
        ("another root", swap("cpix:CPIX".into(), "cpix:Other".into()), |e| matches!(e, Error::Form(_))),
        (
            "an end of another element",
            swap("</k:Secret>".into(), "</k:SecretAAAAAAAA>".into()),
            |e| matches!(e, Error::Form(text) if !text.contains("AAAA")),
        ),
        ("cut short", Box::new(|text| text[..text.len() / 2].to_owned()), |e| matches!(e, Error::Form(_))),
        ("a document type", Box::new(|t| t.replacen("<cpix", "<!DOCTYPE x []><cpix", 1)), |e| {
            matches!(e, Error::Form(_))
        }),
        ("too long", Box::new(|t| format!("{t}{}", " ".repeat(MAX_ANSWER))), |e| matches!(e, Error::TooLong(_))),
        ("another key", swap(format!("kid=\"{video}\""), format!("kid=\"{}\"", KeyId([7; 16]))), |e| {
            matches!(e, Error::NoKey(_))
        }),
        ("no value", swap(format!("\n{}\n", encode([0; 16])), String::new()), |e| matches!(e, Error::NoKey(_))),
        ("a short key", swap(encode([0; 16]), encode([0; 15])), |e| {
            matches!(e, Error::Value { what: "the value", .. })
        }),
        ("no base64", swap(encode([1; 16]), "!".into()), |e| matches!(e, Error::Value { what: "the value", .. })),
        ("a short IV", swap(encode([9; 16]), encode([9; 8])), |e| matches!(e, Error::Value { what: "explicitIV", .. })),
        ("encrypted keys", swap("k:PlainValue".into(), "k:EncryptedValue".into()), |e| *e == Error::Encrypted),
        ("a system less", swap("edef8ba9-".into(), "edef8ba0-".into()), |e| {
            matches!(e, Error::NoSystem { system: KeySystem::Widevine, .. })
        }),
        ("another system's box", swap(pssh_text.clone(), other_text), |e| {
            matches!(e, Error::Value { what: "PSSH", .. })
        }),
        ("a box that is none", swap(pssh_text, encode("box")), |e| matches!(e, Error::Value { what: "PSSH", .. })),
        ("a line that breaks the list", swap(line(video), encode("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"\u{7}\"")), |e| {
            matches!(e, Error::Value { what: "HLSSignalingData", .. })
        }),
        ("another method", swap(line(video), encode("#EXT-X-KEY:METHOD=NONE")), |e| {
            matches!(e, Error::Value { what: "HLSSignalingData", .. })
        }),
        ("XML that does not end", swap(inner.clone(), encode("<a>")), |e| {
            matches!(e, Error::Value { what: "ContentProtectionData", .. })
        }),
        ("XML that ends the element", swap(inner.clone(), encode("</ContentProtection><x/>")), |e| {
            matches!(e, Error::Value { what: "ContentProtectionData", .. })
        }),
        ("a prefix that is not declared", swap(inner.clone(), encode("<cenc:pssh>A</cenc:pssh>")), |e| {
            matches!(e, Error::Value { what: "ContentProtectionData", .. })
        }),
        ("the same of an attribute", swap(inner, encode("<a c:b=\"1\"/>")), |e| {
            matches!(e, Error::Value { what: "ContentProtectionData", .. })
        }),
    ];
    for (what, change, expected) in cases {
        let error = request.read(&answer(&request, change)).unwrap_err();
        assert!(expected(&error), "{what}: {error}");
        assert!(!error.to_string().contains(&encode([1; 16])), "{what}: an error with a key in it");
    }
}

/// A certificate as far as it matters here, its key, and what the key server knows of it.
struct Sealer {
    recipient: Recipient,
    public: OaepPublicEncryptingKey,
}

impl Sealer {
    fn new() -> Self {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let certificate = [b"before", public.as_ref(), b"after"].concat();
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        Sealer {
            recipient: Recipient::new(&certificate, der.as_ref()).unwrap(),
            public: OaepPublicEncryptingKey::new(key.public_key()).unwrap(),
        }
    }

    fn wrapped(&self, key: &[u8]) -> String {
        let mut out = vec![0; self.public.ciphertext_size()];
        encode(self.public.encrypt(&OAEP_SHA1_MGF1SHA1, key, &mut out, None).unwrap())
    }

    /// The answer with its keys encrypted, in the form of SPEKE's documentation.
    fn seal(&self, text: String) -> String {
        const DOCUMENT: [u8; 32] = [0x33; 32];
        const MAC: [u8; 64] = [0x44; 64];
        let method =
            |name: &str| format!("<enc:EncryptionMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#{name}\"/>");
        let value = |name: &str, text: &str| {
            format!(
                "<k:EncryptedValue>{}<enc:CipherData><enc:CipherValue>{text}</enc:CipherValue></enc:CipherData></k:EncryptedValue>",
                method(name)
            )
        };
        let delivery = format!(
            "<cpix:DeliveryDataList><cpix:DeliveryData id=\"millstream\"><cpix:DeliveryKey/>\
             <cpix:DocumentKey Algorithm=\"http://www.w3.org/2001/04/xmlenc#aes256-cbc\"><cpix:Data><k:Secret>{}<k:ValueMAC>AAAA\
             </k:ValueMAC></k:Secret></cpix:Data></cpix:DocumentKey>\
             <cpix:MACMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#hmac-sha512\"><cpix:Key>{}</cpix:Key>\
             </cpix:MACMethod></cpix:DeliveryData></cpix:DeliveryDataList><cpix:ContentKeyList>",
            value("rsa-oaep-mgf1p", &self.wrapped(&DOCUMENT)),
            value("rsa-oaep-mgf1p", &self.wrapped(&MAC))
        );
        let mut text = text.replace("<cpix:ContentKeyList>", &delivery);
        for n in 0..2_u8 {
            let key = UnboundCipherKey::new(&AES_256, &DOCUMENT).unwrap();
            let mut sealed = vec![n; 16];
            let context = EncryptionContext::Iv128(FixedLength::from([0x55; 16]));
            let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap();
            key.less_safe_encrypt(&mut sealed, context).unwrap();
            let sealed = [&[0x55; 16][..], &sealed].concat();
            let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, &MAC), &sealed);
            text = text.replace(
                &format!("<k:PlainValue>\n{}\n</k:PlainValue>", encode([n; 16])),
                &format!("{}<k:ValueMAC>{}</k:ValueMAC>", value("aes256-cbc", &encode(sealed)), encode(mac)),
            );
        }
        text.replace("xmlns:k=", "xmlns:enc=\"http://www.w3.org/2001/04/xmlenc#\" xmlns:k=")
    }
}

/// CPIX delivery data, "content key encryption" in SPEKE.
#[test]
fn keys_that_are_encrypted_for_our_certificate() {
    let (sealer, other) = (sealer(), Sealer::new());
    let request = Request { recipient: Some(&sealer.recipient), ..request(&ALL) };
    let asked = request.to_xml();
    assert!(asked.find("<ds:X509Certificate>").unwrap() < asked.find("<cpix:ContentKeyList>").unwrap(), "{asked}");
    assert!(!format!("{request:?}").contains("PRIVATE"));

    let sealed = answer(&request, |text| sealer.seal(text));
    assert!(!String::from_utf8_lossy(&sealed).contains(&encode([1; 16])), "the keys are in the clear");
    let keys = request.read(&sealed).unwrap();
    assert_eq!((keys.pair.video.expose(), keys.pair.audio.expose()), (&[0; 16], &[1; 16]));
    assert_eq!(keys.pair.video.iv(), [9; 16]);
    let without_mac = |text: String| {
        let text = sealer.seal(text);
        let (from, to) = (text.find("<cpix:MACMethod").unwrap(), text.find("</cpix:DeliveryData>").unwrap());
        text.replacen(&text[from..to], "", 1)
    };
    assert_eq!(request.read(&answer(&request, without_mac)).unwrap().pair, keys.pair, "MACs are the server's choice");

    type Case<'a> = (&'a str, Box<dyn Fn(String) -> String + 'a>, fn(&Error) -> bool);
    let swap = |from: &'static str, to: &'static str| -> Box<dyn Fn(String) -> String + '_> {
        Box::new(move |text| {
            let text = sealer.seal(text);
            assert!(text.contains(from), "no {from}");
            text.replace(from, to)
        })
    };
    let cases: Vec<Case<'_>> = vec![
        ("keys in the clear", Box::new(|text| text), |e| *e == Error::Clear),
        (
            "for another certificate",
            Box::new(|text| other.seal(text)),
            |e| matches!(e, Error::Delivery(why) if why.contains("not encrypted for this certificate")),
        ),
        ("another way to wrap", swap("#rsa-oaep-mgf1p", "#rsa-1_5"), |e| matches!(e, Error::Delivery(_))),
        ("another cipher", swap("#aes256-cbc\"/>", "#aes128-cbc\"/>"), |e| matches!(e, Error::Value { .. })),
        ("another MAC", swap("#hmac-sha512", "#hmac-md5"), |e| matches!(e, Error::Delivery(_))),
        (
            "no delivery data",
            Box::new(|text| sealer.seal(text).replace("DeliveryData ", "Other ").replace("DeliveryData>", "Other>")),
            |e| matches!(e, Error::Delivery(why) if why.contains("none for us")),
        ),
        // The IV is 0x55 throughout: another one would change the key, were it not for the MAC.
        (
            "a changed IV",
            swap("VVVVVVVVVVVVVVVVVVVVV", "VVVVVVVVVVVVVVVVVVVVA"),
            |e| matches!(e, Error::Value { why, .. } if why.contains("ValueMAC")),
        ),
        (
            "no MAC of a key",
            swap("k:ValueMAC", "k:Other"),
            |e| matches!(e, Error::Value { why, .. } if why.contains("ValueMAC")),
        ),
    ];
    for (what, change, expected) in cases {
        let error = request.read(&answer(&request, change)).unwrap_err();
        assert!(expected(&error), "{what}: {error}");
    }
    let plain = Request { recipient: None, ..request.clone() };
    assert_eq!(plain.read(&sealed).unwrap_err(), Error::Encrypted);
}

#[test]
fn a_certificate_and_its_key_belong_together() {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    assert_eq!(Recipient::new(b"of somebody else", der.as_ref()).unwrap_err(), RecipientError::Other);
    assert_eq!(Recipient::new(b"x", b"no key").unwrap_err(), RecipientError::Key);
}

/// Made once: a key takes a while.
fn sealer() -> &'static Sealer {
    static SEALER: LazyLock<Sealer> = LazyLock::new(Sealer::new);
    &SEALER
}

proptest! {
    #[test]
    fn nothing_a_key_server_sends_panics(
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..6),
        is_sealed in any::<bool>(),
    ) {
        let recipient = is_sealed.then_some(&sealer().recipient);
        let request = Request { recipient, ..request(&ALL) };
        let mut answer = answer(&request, |text| if is_sealed { sealer().seal(text) } else { text });
        let at = at.index(answer.len());
        let end = (at + bytes.len()).min(answer.len());
        answer.splice(at..end, bytes);
        let _ = request.read(&answer);
    }
}
