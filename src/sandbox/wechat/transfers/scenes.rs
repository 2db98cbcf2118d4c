//! What a transfer is for: the scenes, and what has to be reported in each.

use serde_json::Value;

use crate::sandbox::wechat::refusal::Refusal;
use crate::sandbox::wechat::schema::text;

struct Scene {
    id: &'static str,
    /// Exactly these have to be reported, each once.
    reports: &'static [&'static str],
    /// What the receiver may be shown. Where none is published none is taken: a text that WeChat does not know is
    /// refused there, and leaving it out is always right.
    perceptions: &'static [&'static str],
}

/// The ids, for the table of members.
pub(crate) const IDS: &[&str] = &["1000", "1002", "1004", "1005", "1009", "1010", "1011", "1013"];

const SCENES: [Scene; 8] = [
    Scene {
        id: "1000",
        reports: &["活动名称", "奖励说明"],
        perceptions: &["活动奖励", "现金奖励"],
    },
    Scene {
        id: "1002",
        reports: &["补贴类型"],
        perceptions: &[],
    },
    Scene {
        id: "1004",
        reports: &["保险产品备案编号", "保险名称", "保险操作单号"],
        perceptions: &[],
    },
    Scene {
        id: "1005",
        reports: &["岗位类型", "报酬说明"],
        perceptions: &[],
    },
    Scene {
        id: "1009",
        reports: &["采购商品名称"],
        perceptions: &[],
    },
    Scene {
        id: "1010",
        reports: &["回收商品名称"],
        perceptions: &[],
    },
    Scene {
        id: "1011",
        reports: &["赔付原因"],
        perceptions: &["退款", "商家赔付"],
    },
    Scene {
        id: "1013",
        reports: &["公益活动名称", "公益活动备案编号"],
        perceptions: &[],
    },
];

/// What the scene of a body that has been checked asks for.
pub(crate) fn check(body: &Value) -> Result<(), Refusal> {
    let id = text(body, "/transfer_scene_id");
    let Some(scene) = SCENES.iter().find(|scene| scene.id == id) else {
        return Err(Refusal::invalid("未知的转账场景"));
    };
    let infos = body.get("transfer_scene_report_infos").and_then(Value::as_array);
    let mut reported: Vec<&str> = infos
        .into_iter()
        .flatten()
        .map(|info| text(info, "/info_type"))
        .collect();
    reported.sort_unstable();
    let mut expected = scene.reports.to_vec();
    expected.sort_unstable();
    if reported != expected {
        let expected = scene.reports.join("、");
        return Err(Refusal::invalid(&format!(
            "转账场景{id}的报备信息应为且仅为：{expected}"
        )));
    }
    match body.get("user_recv_perception").and_then(Value::as_str) {
        Some(shown) if !scene.perceptions.contains(&shown) => {
            Err(Refusal::invalid(&format!("转账场景{id}不支持该用户收款感知：{shown}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(id: &str, reports: &[&str]) -> Value {
        let infos: Vec<Value> = reports
            .iter()
            .map(|kind| json!({"info_type": kind, "info_content": "x"}))
            .collect();
        json!({"transfer_scene_id": id, "transfer_scene_report_infos": infos})
    }

    #[test]
    fn every_scene_of_the_table_has_its_reports() {
        assert_eq!(SCENES.map(|scene| scene.id).as_slice(), IDS);
        for scene in &SCENES {
            assert_eq!(check(&body(scene.id, scene.reports)), Ok(()));
            let mut turned = scene.reports.to_vec();
            turned.reverse();
            assert_eq!(check(&body(scene.id, &turned)), Ok(()));
        }
    }

    #[test]
    fn the_reports_are_exactly_those_of_the_scene() {
        for reports in [
            vec!["活动名称"],
            vec!["活动名称", "活动名称"],
            vec!["活动名称", "奖励说明", "奖励说明"],
            vec!["活动名称", "赔付原因"],
            vec![],
        ] {
            let refusal = check(&body("1000", &reports)).unwrap_err();
            assert_eq!((refusal.status, refusal.code.as_str()), (400, "INVALID_REQUEST"));
        }
    }

    #[test]
    fn a_perception_belongs_to_its_scene() {
        let mut prize = body("1000", &["活动名称", "奖励说明"]);
        for (shown, fits) in [("现金奖励", true), ("退款", false), ("x", false)] {
            prize["user_recv_perception"] = json!(shown);
            assert_eq!(check(&prize).is_ok(), fits, "{shown}");
        }
        let mut goods = body("1009", &["采购商品名称"]);
        goods["user_recv_perception"] = json!("货款");
        assert!(check(&goods).is_err());
    }
}
