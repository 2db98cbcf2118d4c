//! A browser as far as the console needs one: it keeps cookies, says where a form stands, and follows a redirect only when it is told to.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};

use super::app::{OPERATOR, TestApp};

/// A page that came.
#[derive(Clone, Debug)]
pub struct Page {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Page {
    /// Where it sends the browser.
    #[track_caller]
    pub fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{self:?}");
        self.headers[LOCATION].to_str().unwrap()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Fails unless it shows all of these.
    #[track_caller]
    pub fn assert_shows(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.text.contains(part), "{part} is not in {}", self.text);
        }
        self
    }

    /// Fails if it shows any of these.
    #[track_caller]
    pub fn assert_hides(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(!self.text.contains(part), "{part} is in {}", self.text);
        }
        self
    }

    /// The hidden fields of the form that goes to `deed` and whose fields hold `part`; of the first of them.
    #[track_caller]
    pub fn form(&self, deed: &str, part: &str) -> Vec<(String, String)> {
        let forms = self
            .text
            .split("<form")
            .skip(1)
            .map(|form| form.split("</form>").next().unwrap());
        let mut fitting = forms.filter(|form| {
            let action = form.split('"').skip_while(|piece| !piece.ends_with("action=")).nth(1);
            action.is_some_and(|action| action.trim_start_matches("console/") == deed) && form.contains(part)
        });
        let form = fitting
            .next()
            .unwrap_or_else(|| panic!("no form to {deed} with {part}: {}", self.text));
        let hidden = form.split("<input type=\"hidden\" name=\"").skip(1);
        hidden
            .map(|field| {
                let mut pieces = field.split('"');
                let (name, value) = (pieces.next().unwrap(), pieces.nth(1).unwrap());
                (name.to_owned(), value.replace("&amp;", "&"))
            })
            .collect()
    }
}

/// A browser.
pub struct Browser<'a> {
    t: &'a TestApp,
    http: reqwest::Client,
    pub cookies: BTreeMap<String, String>,
    /// Said with every request.
    pub says: Vec<(&'static str, String)>,
}

impl<'a> Browser<'a> {
    pub fn of(t: &'a TestApp) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            t,
            http,
            cookies: BTreeMap::new(),
            says: vec![("accept-language", "en".to_owned())],
        }
    }

    /// One whose owner has signed in with the key of the tests.
    pub async fn signed_in(t: &'a TestApp) -> Self {
        let mut browser = Self::of(t);
        let came = browser.sign_in(OPERATOR, "Anna").await;
        assert_eq!(came.location(), "../console");
        browser
    }

    pub async fn sign_in(&mut self, key: &str, name: &str) -> Page {
        self.post("/console/sign-in", &[("key", key), ("name", name)]).await
    }

    pub async fn get(&mut self, path: &str) -> Page {
        let request = self.http.get(self.t.url(path));
        self.send(request).await
    }

    /// Sends a form.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = self
            .http
            .post(self.t.url(path))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        self.send(request).await
    }

    /// Sends what is no form.
    pub async fn post_json(&mut self, path: &str) -> Page {
        let request = self
            .http
            .post(self.t.url(path))
            .header("content-type", "application/json")
            .body("{}");
        self.send(request).await
    }

    /// Sends a form of a page, with what somebody wrote into it.
    pub async fn submit(&mut self, path: &str, form: &[(String, String)], more: &[(&str, &str)]) -> Page {
        let fields: Vec<(&str, &str)> = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(more.iter().copied())
            .collect();
        self.post(path, &fields).await
    }

    pub async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Page {
        for (name, value) in &self.says {
            request = request.header(*name, value);
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        let answer = request.send().await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.ends_with("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Page {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text: answer.text().await.unwrap(),
        }
    }
}
