//! The comparison by parts on the disk against one that looks at everything for each.

use proptest::prelude::*;
use tokio::sync::mpsc;

use super::*;
use crate::flows::reconcile::spool::Cut;

const DAY: Span = Span {
    from_ms: 1000,
    until_ms: 2000,
};

/// Few numbers and few values, so that much of it meets.
fn slips(
    ours: impl Strategy<Value = bool> + Clone,
    states: &'static [&'static str],
) -> impl Strategy<Value = Vec<Slip>> {
    let subject = prop_oneof![Just(Subject::Payment), Just(Subject::Refund), Just(Subject::Transfer)];
    let slip = (
        subject,
        0..40_u8,
        1..3_i64,
        prop::sample::select(states),
        998..2002_i64,
        ours,
    );
    let slip = slip.prop_map(|(subject, number, amount, state, at_ms, ours)| Slip {
        entry: Entry {
            subject,
            number: format!("`NO,\"{number}\n茶"),
            of: (subject != Subject::Payment).then(|| "ORDER_1".to_owned()),
            id: None,
            app_id: None,
            amount: Some(amount),
            currency: "CNY".to_owned(),
            state: state.to_owned(),
            at_ms: Some(at_ms),
        },
        ours,
    });
    prop::collection::vec(slip, 0..60)
}

async fn spool(cut: &Cut, slips: Vec<Slip>) -> Spool {
    let (sender, rows) = mpsc::channel(4);
    let filling = Spool::empty().unwrap().fill(cut.clone(), rows, Some);
    for slip in slips {
        sender.send(slip).await.unwrap();
    }
    drop(sender);
    filling.await.unwrap().unwrap()
}

async fn by_parts(books: Vec<Slip>, lines: Vec<Slip>) -> Vec<Suspect> {
    let cut = Cut::default();
    let (books, lines) = (spool(&cut, books).await, spool(&cut, lines).await);
    let (sender, mut suspects) = mpsc::channel(4);
    let joining = tokio::task::spawn_blocking(move || {
        // A second comparison reads the same files.
        let (nobody, unheard) = mpsc::channel(1);
        drop(unheard);
        join(DAY, &books, &lines, &nobody).unwrap();
        join(DAY, &books, &lines, &sender).unwrap();
    });
    let mut found = Vec::new();
    while let Some(suspect) = suspects.recv().await {
        found.push(suspect);
    }
    joining.await.unwrap();
    found
}

fn naively(books: &[Slip], lines: &[Slip]) -> Vec<Suspect> {
    let same = |one: &Entry, other: &Entry| (one.subject, &one.number) == (other.subject, &other.number);
    let mut found = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let here = books.iter().find(|held| same(&held.entry, &line.entry));
        let here = here.map(|held| held.entry.clone());
        let again = here.is_some() && lines.iter().take(place).any(|before| same(&before.entry, &line.entry));
        let fits = judge(DAY, here.as_ref(), Some(&line.entry)).is_none();
        if again || (!fits && (here.is_some() || line.ours)) {
            let there = Some(line.entry.clone());
            found.push(Suspect { here, there, again });
        }
    }
    let alone = books
        .iter()
        .filter(|held| !lines.iter().any(|line| same(&line.entry, &held.entry)));
    found.extend(alone.map(|held| Suspect {
        here: Some(held.entry.clone()),
        there: None,
        again: false,
    }));
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn by_parts_the_same_is_found_as_by_looking_at_everything(
        books in slips(Just(true), &["SUCCESS", "REFUND", "NOTPAY", "PROCESSING", "CLOSED"]),
        lines in slips(any::<bool>(), &["SUCCESS", "PROCESSING", "FAIL", "REVOKED"]),
    ) {
        // The books have a number once.
        let mut once: Vec<Slip> = Vec::new();
        for slip in books {
            let number = |slip: &Slip| (slip.entry.subject, slip.entry.number.clone());
            if once.iter().all(|held| number(held) != number(&slip)) {
                once.push(slip);
            }
        }
        let expected = naively(&once, &lines);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut found = runtime.block_on(by_parts(once, lines));
        let mut expected = expected;
        let order = |suspect: &Suspect| format!("{suspect:?}");
        found.sort_by_key(order);
        expected.sort_by_key(order);
        prop_assert_eq!(found, expected);
    }
}
