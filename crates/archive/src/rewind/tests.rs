//! What is read of the store, and how often.

use object_store::memory::InMemory;
use object_store::path::Path;

use super::*;
use crate::asset::LineUp;
use crate::documents;

struct Still;

impl millstream_media::time::Clock for Still {
    fn utc(&self) -> UtcTime {
        UtcTime::from_millis(1_800_000_000_000)
    }
    fn mono(&self) -> MonoTime {
        MonoTime::default()
    }
}

/// A channel whose first recording is younger than its `dvr_seconds` is asked about as often as any.
#[tokio::test]
async fn the_list_of_recordings_is_read_once_in_a_while() {
    let store = Store::new(Arc::new(InMemory::new()), Path::default(), "memory://", false, Arc::new(Still));
    let id = AssetId::new("demo-1").unwrap();
    let start = UtcTime::from_millis(1_799_999_000_000);
    let mut asset = Asset::recording(id.clone(), "demo", start, 2);
    asset.line_ups = vec![LineUp { first: 7, init: "0a".to_owned(), tracks: Vec::new() }];
    asset.start = Some(start);
    documents::create_asset(&store, &asset).await.unwrap();
    catalog::note(&store, "demo", &id).await.unwrap();
    let rewind = Rewind::new(store.clone(), Running::default(), VodDelivery::new(store.clone()));
    let long_before = start - Duration::from_secs(3600);
    let first = rewind.recordings("demo", long_before).await.unwrap();
    assert_eq!(first.iter().map(|c| c.first).collect::<Vec<_>>(), [7]);
    // Whoever reads it now would find none.
    store.delete(&layout::channel("demo")).await.unwrap();
    assert_eq!(rewind.recordings("demo", long_before).await.unwrap().len(), 1);
}
