//! `scene_info`: where, and from which address, an order is paid.

use crate::domain::order::{H5Info, OrderKind, SceneInfo, StoreInfo};
use crate::http::connection::Connection;
use crate::http::form::Form;

/// What was read.
pub(super) struct Scene {
    pub(super) info: Option<SceneInfo>,
    /// The payer's address is the connection's.
    pub(super) of_connection: bool,
}

/// Reads it. Only an H5 payment has to have it: its payer's address is the request's word, else the connection's.
pub(super) fn read(connection: &Connection, kind: OrderKind, form: &mut Form) -> Scene {
    if kind != OrderKind::H5 {
        let info = form.object("scene_info", |scene| {
            let address = scene.required("payer_client_ip", Form::address);
            let rest = rest(scene);
            Some(SceneInfo {
                payer_client_ip: address?,
                device_id: rest.0,
                store_info: rest.1,
                h5_info: None,
            })
        });
        return Scene {
            info,
            of_connection: false,
        };
    }
    let mut of_connection = false;
    let info = form.required("scene_info", |form, member| {
        form.object(member, |scene| {
            let address = match connection.address {
                Some(address) if !scene.has("payer_client_ip") => {
                    of_connection = true;
                    // Absent or null; taken out so that it is not in the way.
                    scene.address("payer_client_ip");
                    Some(address.to_string())
                }
                _ => scene.required("payer_client_ip", Form::address),
            };
            let h5_info = scene.required("h5_info", |form, member| form.object(member, h5_info));
            let rest = rest(scene);
            Some(SceneInfo {
                payer_client_ip: address?,
                device_id: rest.0,
                store_info: rest.1,
                h5_info: Some(h5_info?),
            })
        })
    });
    Scene { info, of_connection }
}

fn rest(scene: &mut Form) -> (Option<String>, Option<StoreInfo>) {
    (scene.text("device_id", 1..=32), scene.object("store_info", store_info))
}

fn store_info(store: &mut Form) -> Option<StoreInfo> {
    let id = store.required("id", |form, member| form.text(member, 1..=32));
    let name = store.text("name", 1..=256);
    let area_code = store.text("area_code", 1..=32);
    let address = store.text("address", 1..=512);
    Some(StoreInfo {
        id: id?,
        name,
        area_code,
        address,
    })
}

fn h5_info(info: &mut Form) -> Option<H5Info> {
    let kind = info.required("type", |form, member| form.one_of(member, &["Wap", "iOS", "Android"]));
    let app_name = info.text("app_name", 1..=64);
    let app_url = info.text("app_url", 1..=128);
    let bundle_id = info.text("bundle_id", 1..=128);
    let package_name = info.text("package_name", 1..=128);
    Some(H5Info {
        kind: kind?,
        app_name,
        app_url,
        bundle_id,
        package_name,
    })
}
