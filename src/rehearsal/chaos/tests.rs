//! Bad weather of many seeds, on a small scene.

use clap::Parser as _;

use super::*;

/// What the command line says.
#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    sandbox: SandboxArguments,
}

fn arguments() -> SandboxArguments {
    with(&[])
}

fn with(more: &[&str]) -> SandboxArguments {
    Line::parse_from([&["sandbox", "--once"], more].concat()).sandbox
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_agree_after_the_weather_of_twenty_seeds() {
    let mut troubles = WeatherReport::default();
    for seed in 0..20 {
        let outcome = play(&arguments(), seed, 8).await.unwrap();
        assert!(outcome.agrees(), "{outcome}");
        let weather = outcome.weather;
        troubles.lost += weather.lost;
        troubles.late += weather.late;
        troubles.repeated += weather.repeated;
        troubles.overtaken += weather.overtaken;
    }
    let WeatherReport {
        lost,
        late,
        repeated,
        overtaken,
        ..
    } = troubles;
    assert!(
        lost > 50 && late > 20 && repeated > 20 && overtaken > 10,
        "it was bad weather: {troubles:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_do_not_agree_are_told_with_the_seed_that_shows_it() {
    // Nobody closes what is never paid.
    let arguments = with(&["--set", "closeUnpaidAfter=0"]);
    let outcome = play(&arguments, 3, 8).await.unwrap();
    let told = outcome.to_string();
    assert!(!outcome.agrees() && told.contains("sandbox --once --chaos 3"), "{told}");
    assert!(told.contains("[FAILED] every order and refund stands"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_is_the_same_scene() {
    let (first, again) = (
        play(&arguments(), 7, 6).await.unwrap(),
        play(&arguments(), 7, 6).await.unwrap(),
    );
    let fates = |weather: WeatherReport| {
        let WeatherReport {
            announced,
            sent,
            lost,
            late,
            repeated,
            ..
        } = weather;
        (announced, sent, lost, late, repeated)
    };
    assert_eq!(fates(first.weather), fates(again.weather));
    let other = play(&arguments(), 8, 6).await.unwrap();
    assert_ne!(fates(first.weather), fates(other.weather));
}
