//! Live progress on a terminal. What is drawn is decided by `live`; this only keeps it at the bottom of the screen.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ids::TaskId;

/// Progress on a terminal: one bar for the run and a line per task in work.
pub struct Bars {
    multi: MultiProgress,
    overall: ProgressBar,
    tasks: Vec<(TaskId, ProgressBar)>,
}

impl Bars {
    /// Nothing is drawn yet.
    pub fn new() -> Bars {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Bars { overall: ProgressBar::hidden(), multi, tasks: Vec::new() }
    }

    /// Draws the run's line and one per task in work; lines of tasks that are no longer among them go.
    pub fn draw(&mut self, overall: &str, busy: &[(TaskId, String)]) {
        let style = || ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        if self.overall.is_hidden() {
            self.overall = self.multi.add(ProgressBar::no_length().with_style(style()));
        }
        self.overall.set_message(overall.to_owned());
        let multi = &self.multi;
        self.tasks.retain(|(task, bar)| {
            let stays = busy.iter().any(|(id, _)| id == task);
            if !stays {
                bar.finish_and_clear();
                multi.remove(bar);
            }
            stays
        });
        for (task, line) in busy {
            let known = self.tasks.iter().position(|(id, _)| id == task);
            let index = known.unwrap_or_else(|| {
                self.tasks.push((*task, self.multi.add(ProgressBar::no_length().with_style(style()))));
                self.tasks.len() - 1
            });
            self.tasks[index].1.set_message(line.clone());
        }
        self.overall.tick();
        self.tasks.iter().for_each(|(_, bar)| bar.tick());
    }

    /// Takes the bars off the screen; the next [`Bars::draw`] brings them back.
    pub fn clear(&mut self) {
        for (_, bar) in self.tasks.drain(..) {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
        self.overall.finish_and_clear();
        self.multi.remove(&self.overall);
        self.overall = ProgressBar::hidden();
        // Nothing to do about a terminal that cannot be cleared.
        let _ = self.multi.clear();
    }
}
