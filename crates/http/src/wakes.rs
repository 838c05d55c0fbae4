//! Wakes those connections of a lane that wait for one and the same thing together.
//!
//! A new part is published on another thread, and thousands wait for it. Woken one by one, each would cost a look at the
//! lane's queue and a write to its eventfd. Here each is put on a list, and the lane is woken once for the list.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use tokio::sync::Notify;

/// The connections of a lane that are to be woken: at most each of its waiting connections, once.
#[derive(Debug, Default)]
pub struct Wakes {
    due: Mutex<Vec<Waker>>,
    any: Notify,
}

impl Wakes {
    /// Wakes those that are due, from the lane's own thread, until it is dropped.
    pub async fn deliver(&self) {
        loop {
            self.any.notified().await;
            let due = std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner));
            due.into_iter().for_each(Waker::wake);
        }
    }

    fn add(&self, task: Waker) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.push(task);
        let is_first = due.len() == 1;
        drop(due);
        if is_first {
            self.any.notify_one();
        }
    }
}

/// Wakes one connection by way of its lane's list.
#[derive(Debug)]
pub struct Call {
    wakes: Arc<Wakes>,
    task: Waker,
}

impl Call {
    /// The call in `slot`, made anew if there is none or it is another task's.
    pub fn keep<'a>(slot: &'a mut Option<Arc<Call>>, wakes: &Arc<Wakes>, task: &Waker) -> &'a Arc<Call> {
        if slot.as_ref().is_some_and(|call| !call.task.will_wake(task)) {
            *slot = None;
        }
        slot.get_or_insert_with(|| Arc::new(Call { wakes: Arc::clone(wakes), task: task.clone() }))
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wakes.add(self.task.clone());
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.add(self.task.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future as _;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Context;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn many_are_woken_with_one_wake_of_the_lane() {
        let (lane, tasks) = (Arc::new(Counted::default()), Arc::new(Counted::default()));
        let (lane_waker, task) = (Waker::from(Arc::clone(&lane)), Waker::from(Arc::clone(&tasks)));
        let count = |counted: &Counted| counted.0.load(Ordering::Relaxed);
        let wakes = Arc::new(Wakes::default());
        let mut deliver = pin!(wakes.deliver());
        assert!(deliver.as_mut().poll(&mut Context::from_waker(&lane_waker)).is_pending());
        for round in 1..=2 {
            for _ in 0..100 {
                Waker::from(Arc::clone(Call::keep(&mut None, &wakes, &task))).wake();
            }
            assert_eq!((count(&lane), count(&tasks)), (round, (round - 1) * 100));
            assert!(deliver.as_mut().poll(&mut Context::from_waker(&lane_waker)).is_pending());
            assert_eq!(count(&tasks), round * 100);
        }
    }

    #[test]
    fn a_call_is_kept_while_the_task_is_the_same() {
        let wakes = Arc::new(Wakes::default());
        let [first, second] = [(); 2].map(|()| Waker::from(Arc::new(Counted::default())));
        let mut slot = None;
        let kept = Arc::as_ptr(Call::keep(&mut slot, &wakes, &first));
        assert_eq!(Arc::as_ptr(Call::keep(&mut slot, &wakes, &first)), kept);
        assert!(Call::keep(&mut slot, &wakes, &second).task.will_wake(&second));
    }
}
