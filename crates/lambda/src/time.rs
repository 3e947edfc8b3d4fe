//! How long an invocation works. What it has not answered by its deadline counts as failed, all of it, and alerts
//! are not sent: so it ends before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use greenstream::outage::Outages;
use tokio::runtime::Handle;
use tokio::time::sleep;

/// How long before the deadline nothing new is begun: enough for a commit and for a try over a connection that
/// answers no more (20 s). Shorter risks the answer, longer is taken from the work.
const ENDING: Duration = Duration::from_secs(30);

/// No deadline is so long after the epoch: one that seems to be is how long the invocation may take, as cargo-lambda's
/// emulator says it.
const DURATION_MAX: Duration = Duration::from_secs(86_400);

/// The clock of one invocation.
pub struct Clock {
    /// What is out of order; told to stop when the work is to end.
    pub outages: Arc<Outages>,
    /// Whether the answer is due, whatever alerts wait.
    pub is_due: Arc<AtomicBool>,
}

impl Clock {
    /// Runs until a deadline, or until `runtime` ends.
    pub fn until(deadline: SystemTime, runtime: &Handle) -> Clock {
        let left = left(deadline);
        let clock = Clock { outages: Arc::default(), is_due: Arc::default() };
        let (outages, is_due) = (Arc::clone(&clock.outages), Arc::clone(&clock.is_due));
        runtime.spawn(async move {
            let ending = ending(left);
            sleep(left.saturating_sub(ending)).await;
            tracing::warn!(seconds = ending.as_secs_f64(), "the invocation ends before its deadline");
            outages.stop();
            sleep(ending / 2).await;
            is_due.store(true, Ordering::SeqCst);
        });
        clock
    }
}

/// The time until a deadline; none where that is over.
fn left(deadline: SystemTime) -> Duration {
    match deadline.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(duration) if duration < DURATION_MAX => duration,
        #[expect(clippy::disallowed_methods, reason = "the deadline is an instant of the wall clock")]
        _ => deadline.duration_since(SystemTime::now()).unwrap_or_default(),
    }
}

/// What of the time left goes to ending: no more than a third.
fn ending(left: Duration) -> Duration {
    ENDING.min(left / 3)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_invocation_ends_half_a_minute_before_its_deadline_or_after_two_thirds_of_a_short_time() {
        let seconds = Duration::from_secs;
        assert_eq!(ending(seconds(900)), seconds(30));
        assert_eq!(ending(seconds(30)), seconds(10));
        assert_eq!(ending(seconds(0)), seconds(0));
    }

    #[test]
    fn a_deadline_is_an_instant_or_as_an_emulator_says_it_a_duration() {
        let seconds = Duration::from_secs;
        assert_eq!(left(SystemTime::UNIX_EPOCH + seconds(600)), seconds(600));
        #[expect(clippy::disallowed_methods, reason = "as below")]
        let now = SystemTime::now();
        assert!(left(now + seconds(60)) > seconds(50) && left(now + seconds(60)) <= seconds(60));
        assert_eq!(left(now - seconds(60)), seconds(0));
    }

    #[tokio::test]
    async fn the_work_stops_in_time_and_the_answer_is_due_later() {
        #[expect(clippy::disallowed_methods, reason = "as above")]
        let now = SystemTime::now();
        let (began, left) = (Instant::now(), Duration::from_millis(1_500));
        let clock = Clock::until(now + left, &Handle::current());
        while !clock.outages.is_stopping() {
            sleep(Duration::from_millis(5)).await;
        }
        let stopped = began.elapsed();
        assert!(stopped > left / 2 && stopped < left, "{stopped:?} of {left:?}");
        while !clock.is_due.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(began.elapsed() > stopped + left / 10);
    }

    #[tokio::test]
    async fn what_comes_too_late_begins_nothing() {
        let clock = Clock::until(SystemTime::UNIX_EPOCH, &Handle::current());
        sleep(Duration::from_millis(200)).await;
        assert!(clock.outages.is_stopping());
    }
}
