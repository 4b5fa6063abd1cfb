//! Units too large to be promoted while their writers wait.

use std::sync::Mutex;

use super::*;

/// Notes the steps of a mover, and writes two records of the unit before each copy is published.
#[derive(Debug)]
struct Busy {
    writer: Arc<Router>,
    steps: Mutex<Vec<Step>>,
}

#[async_trait]
impl Watch for Busy {
    async fn before(&self, step: Step, _: Side, _: &UnitId) {
        self.steps.lock().expect("steps").push(step);
        if step == Step::Publish {
            for key in [1, 2] {
                let written = self.writer.write(&unit(), put(key, "meanwhile")).await;
                assert!(matches!(written, Ok(Written::Made(..))), "{written:?}");
            }
        }
    }
}

/// Moves a large unit under writes; returns the changes of control records that the move made.
async fn steps_of_a_move(target: MemoryOptions) -> Vec<Step> {
    let world = world(300, [MemoryOptions::strong(), target], moving(0)).await;
    let busy = Busy { writer: Arc::clone(&world.router), steps: Mutex::default() };
    let busy = Arc::new(busy);
    let watch = Arc::clone(&busy) as Arc<dyn Watch>;
    let options = RouterOptions::new("mover", Arc::new(ManualClock::default()));
    let options = RouterOptions { watch, ..options };
    let mover = Router::with_config(world.router.pair().clone(), moving(10_000), options);
    assert_eq!(mover.place(&unit()).await.expect("a move"), Moved::There);
    let texts = texts(&world.router).await;
    let meanwhile = texts.iter().filter(|(_, text)| text.contains("meanwhile")).count();
    assert_eq!((texts.len(), meanwhile), (300, 2));
    let steps = busy.steps.lock().expect("steps").clone();
    let told = [Step::Stage, Step::Publish, Step::Seal, Step::LastLap, Step::Activate];
    steps.into_iter().filter(|step| told.contains(step)).collect()
}

/// It is a replica before its source is sealed, so that nothing but a lap is left to wait for.
#[tokio::test]
async fn a_large_unit_is_published_before_the_seal() {
    let steps = steps_of_a_move(MemoryOptions::strong()).await;
    assert_eq!(steps, [Step::Stage, Step::Publish, Step::Seal, Step::LastLap, Step::Activate]);
}

/// A replica that no replay reaches is copied anew, and promoted under the seal: moves end.
#[tokio::test]
async fn a_replica_that_cannot_follow_is_not_made_twice() {
    let strong = MemoryOptions::strong();
    let capabilities = Capabilities { apply_records_max: 1, ..strong.capabilities };
    let steps = steps_of_a_move(MemoryOptions { capabilities, ..strong }).await;
    let published = steps.iter().filter(|step| **step == Step::Publish).count();
    assert_eq!((published, steps.last()), (1, Some(&Step::Activate)), "{steps:?}");
}
