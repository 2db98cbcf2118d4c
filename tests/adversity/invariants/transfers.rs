//! Transfers.

use pay_common::sandbox::Wechat;

use super::books::Books;
use super::of_events;

pub fn check(books: &Books, wechat: &Wechat, complaints: &mut Vec<String>) {
    for transfer in &books.transfers {
        let number = &transfer.number;
        let mut found = Vec::new();
        let there = wechat.transfer(number);
        let state = there.as_ref().map(|there| there.state.as_str());
        let fits = match transfer.state.as_str() {
            "REJECTED" => state.is_none(),
            "CREATED" => false,
            known => state == Some(known),
        };
        if !fits {
            found.push(format!("WeChat has it as {state:?}"));
        }
        if let Some(there) = &there {
            let same = transfer.bill.as_ref() == Some(&there.transfer_bill_no) && transfer.amount == there.amount;
            if !same {
                found.push(format!("it is another one at WeChat: {there:?}"));
            }
        }
        let mut expected = Vec::new();
        if transfer.accepted {
            expected.push(format!("transfer.created/{number}"));
        }
        match transfer.state.as_str() {
            "SUCCESS" => expected.push(format!("transfer.succeeded/{number}")),
            "FAIL" | "CANCELLED" => expected.push(format!("transfer.failed/{number}")),
            _ => {}
        }
        let told = books.told(&format!("transfer/{number}"));
        found.extend(of_events(&told, &expected, "nothing"));
        if told.first().is_some_and(|event| event.kind != "transfer.created") {
            found.push("its end was told before its beginning".to_owned());
        }
        let name = |complaint| format!("transfer {number} ({}): {complaint}", transfer.state);
        complaints.extend(found.into_iter().map(name));
    }
}
