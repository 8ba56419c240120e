// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

func load(t *testing.T, file, id string) (*Config, error) {
	t.Helper()
	all, err := confmaptest.LoadConf(filepath.Join("testdata", file))
	require.NoError(t, err)
	require.True(t, all.IsSet(id), "%s has no %s", file, id)
	conf, err := all.Sub(id)
	require.NoError(t, err)
	cfg := Default()
	if err := conf.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

func TestLoadConfig(t *testing.T) {
	minimal := func(change func(*Config)) *Config {
		cfg := Default()
		cfg.Watch.Include = []string{"in"}
		cfg.Output.Directory = "out"
		change(cfg)
		return cfg
	}
	authenticator := component.MustNewIDWithName("bearertokenauth", "triton")
	metricsWithoutProgress := metadata.DefaultMetricsConfig()
	metricsWithoutProgress.AnonymizerVideoProgress.Enabled = false
	for _, tt := range []struct {
		id   string
		want *Config
	}{
		{"videoanonymizer", minimal(func(cfg *Config) {
			cfg.Watch.Include = []string{"videos/incoming/*"}
			cfg.Output.Directory = "videos/anonymized"
		})},
		{"videoanonymizer/all", &Config{
			Watch: watch.Config{
				Include:      []string{"/data/in/**/*.mp4", "/data/more"},
				Exclude:      []string{"*_draft.*"},
				Recursive:    true,
				PollInterval: 5 * time.Second,
				StableFor:    10 * time.Second,
			},
			Output: Output{
				Directory: "/data/out",
				Name:      "anonymized-{name}",
				Container: "mkv",
				Codec:     "ffv1",
				Quality:   new(int),
				Preset:    "slow",
				Encoder:   "software",
				OnSuccess: "move",
				OnSalvage: OnSalvageAsSuccess,
				MoveTo:    "/data/done",

				QuarantineDirectory: "/data/failed",
				MinFreeSpace:        2048,
				FileMode:            "0640",
				Audio:               media.AudioMute,
				PixelFormat:         media.SameAsSource,
				WebPQuality:         70,
				JPEGQuality:         80,
				Keep:                []string{media.KeepChapters, "creation_time"},
				SegmentLength:       30 * time.Second,
				StateDirectory:      "/data/state",
			},
			Retry:  watch.Retry{InitialInterval: time.Minute, MaxInterval: time.Hour, MaxAttempts: 3},
			Recall: Thorough,
			Detector: Detector{
				Model:              "centernet",
				Also:               []string{"nanodet-m"},
				Faces:              "models/faces.onnx",
				ScoreThreshold:     0.25,
				BlurredThreshold:   0.3,
				CandidateThreshold: 0.1,
				FaceThreshold:      0.7,
				OverlapThreshold:   0.5,
				InputSize:          InputSize{Width: 512, Height: 288},
				Tiles:              3,
				MinPersonSize:      12,
				Survey: Survey{
					Enabled: true, Interval: 500 * time.Millisecond, Models: []string{"centernet"}, Faces: "models/faces.onnx",
				},
			},
			Pose: Pose{
				Model:             "models/movenet-thunder.onnx",
				ScoreThreshold:    0.2,
				MaxPeoplePerBatch: 4,
				BoxScale:          1.5,
			},
			Segmentation: Segmentation{Model: "models/people.onnx"},
			Mask: Mask{Method: "whitelist", Shape: "box", Fill: "mosaic", Color: "#10ff80", Scale: 1.5,
				OnUncertain: "whole_person",
				MaxSize:     0.4, Regions: []Region{
					{Polygon: [][]float64{{0, 0}, {0.5, 0}, {0.5, 0.25}}, Action: "mask", From: 10 * time.Second, To: time.Minute},
					{Polygon: [][]float64{{0.8, 0.8}, {1, 0.8}, {1, 1}, {0.8, 1}}, Action: "keep"},
					{Action: "mask", To: 2 * time.Second},
				}},
			Inference: Inference{
				Threads:         2,
				Sessions:        3,
				Provider:        "cuda",
				ProviderOptions: map[string]string{"device_id": "1"},
				Library:         "/usr/lib/libonnxruntime.so",
				Timeout:         2 * time.Minute,
				Remote: Remote{
					Endpoints: []string{"grpcs://one:8001", "https://two:8000"},
					TLS: configtls.ClientConfig{Config: configtls.Config{
						CAFile: "ca.pem", CertFile: "c.pem", KeyFile: "c.key"}},
					Auth:        &authenticator,
					Models:      []string{"centernet"},
					Timeout:     10 * time.Second,
					MaxInFlight: 8,
					TraceRatio:  0.1,
				},
			},
			Models: Models{Directory: "/data/models"},
			Limits: media.Limits{MaxWidth: 1920, MaxHeight: 1088, MaxPixels: 2088960, MaxDuration: 12 * time.Hour,
				MaxFrameRate: 120, MaxFrames: 1000000,
				MaxStreams: 8, ProbeTimeout: 10 * time.Second, MaxCPUTime: 24 * time.Hour, MaxMemory: 8192,
				MaxOutput: 4096},
			OnDamaged: OnDamagedSalvage,
			Tools: Tools{FFmpeg: "/opt/ffmpeg", FFprobe: "/opt/ffprobe", Decoder: "vaapi",
				VAAPIDevice: "/dev/dri/renderD129", Confine: "require"},
			DetectEvery:         1,
			LookAhead:           500 * time.Millisecond,
			MaxConcurrentVideos: 2,
			MaxConcurrentUnits:  3,
			UnitLength:          time.Minute,
			Report:              Report{Tiles: 24, Preview: PreviewBoxes},
			Schedule:            Schedule{OnBattery: OnBatteryWork, Running: RunningSuspend},
			Resources:           Resources{CPUs: 2, Nice: 10, IOClass: IOBestEffort, IOPriority: 7},
			Telemetry: Telemetry{
				ServiceName:        "my-ml-pipeline",
				BatchSize:          100,
				BatchInterval:      2 * time.Second,
				MaxWait:            10 * time.Second,
				MetricsInterval:    time.Second,
				VideoNames:         "hash",
				ResourceAttributes: map[string]any{"deployment.environment.name": "dev"},
				SpanAttributes:     map[string]any{"site": "hall-7", "camera": 3},
			},
			Metrics: metricsWithoutProgress,
		}},
		{"videoanonymizer/long_side", minimal(func(cfg *Config) { cfg.Detector.InputSize = InputSize{LongSide: 640} })},
		{"videoanonymizer/auto", minimal(func(*Config) {})},
		{"videoanonymizer/whitelist", minimal(func(cfg *Config) {
			cfg.setRecall(Fast)
			cfg.Mask.Method = "whitelist"
			cfg.DetectEvery = 1
		})},
		{"videoanonymizer/recall", minimal(func(cfg *Config) {
			cfg.setRecall(Thorough)
			cfg.Detector.Faces = ""
			cfg.DetectEvery = 2
		})},
	} {
		t.Run(tt.id, func(t *testing.T) {
			got, err := load(t, "config.yaml", tt.id)
			require.NoError(t, err)
			assert.Empty(t, cmp.Diff(tt.want, got, cmp.Comparer(func(a, b component.ID) bool { return a == b }),
				cmpopts.IgnoreUnexported(Config{}, watch.Config{}, Output{}, watch.Retry{},
					media.Limits{}, Detector{}, Survey{}, Pose{},
					Mask{}, Segmentation{}, Region{}, Inference{}, Models{}, Tools{}, Telemetry{}, Retention{},
					Schedule{}, Resources{}, metadata.MetricConfig{})))
		})
	}
}

// TestAsThorough checks that AsThorough changes no key that was given.
func TestAsThorough(t *testing.T) {
	for id, want := range map[string]func(*Config){
		"videoanonymizer/auto":      func(cfg *Config) { cfg.Detector.InputSize = InputSize{} },
		"videoanonymizer/long_side": func(cfg *Config) { cfg.Detector.InputSize = InputSize{LongSide: 640} },
		"videoanonymizer/whitelist": func(cfg *Config) { cfg.Mask.Method = "whitelist" },
		"videoanonymizer/recall":    func(cfg *Config) { cfg.Detector.Faces, cfg.DetectEvery = "", 2 },
		"videoanonymizer/pinned": func(cfg *Config) {
			cfg.Detector.Survey.Enabled, cfg.Detector.Tiles, cfg.DetectEvery = false, 1, 3
		},
	} {
		t.Run(id, func(t *testing.T) {
			got, err := load(t, "config.yaml", id)
			require.NoError(t, err)
			cfg := Default()
			cfg.Watch.Include, cfg.Output.Directory = []string{"in"}, "out"
			cfg.setRecall(Thorough)
			want(cfg)
			got = got.AsThorough()
			assert.Equal(t, cfg.Detector, got.Detector)
			assert.Equal(t, cfg.DetectEvery, got.DetectEvery)
			assert.Equal(t, cfg.Mask, got.Mask)
			assert.Equal(t, Thorough, got.Recall)
			assert.Equal(t, got, got.AsThorough())
		})
	}
}

// TestInvalidConfig checks that one error names every wrong key of a case.
func TestInvalidConfig(t *testing.T) {
	for _, tt := range []struct {
		id   string
		want []string
	}{
		{"videoanonymizer/nothing", []string{"watch::include: is required", "output::directory: is required"}},
		{"videoanonymizer/top", []string{`recall: "high" is not known: use one of fast, balanced, thorough`,
			"detect_every: -1", "look_ahead: 1m0s", "max_concurrent_videos: -1", "max_concurrent_units: -1",
			"unit_length: 0s"}},
		{"videoanonymizer/watch", []string{"watch::include: a pattern is empty",
			"watch::exclude: \"[\" is not a valid pattern", "poll_interval: 0s", "stable_for: -1s"}},
		{"videoanonymizer/output", []string{
			"output::directory: is required", `output::name: "../anonymized" lacks {name}`,
			`output::container: "wmv" is not known`, `output::codec: "divx" is not known`,
			`output::preset: "fastest" is not known`, `output::encoder: "gpu" is not known: use one of software, nvenc, vaapi`,
			`output::on_success: "archive" is not known: use one of keep, move, delete`,
			`output::on_salvage: "delete" is not known: use one of keep, as_success`,
		}},
		{"videoanonymizer/output_combinations", []string{
			`name: "../{name}" leaves its folder`, "codec: h265 does not go into container webm: use vp9 or av1 or h264",
			"quality: 52 is out of range", "min_free_space: -2 is out of range",
			`file_mode: "0777" does not let the owner`,
			`pixel_format: "yuv420p" is not known: use one of auto, same`,
			`webp_quality: 101 is out of range: write 1 to 100`,
			`jpeg_quality: 0 is out of range: write 1 to 100`,
			`audio: "loud" is not known: use one of drop, copy, mute, alter`, `keep: "title=x" is not a valid name`,
			"segment_length: 10ms is out of range", "move_to: has no effect with on_success: keep",
		}},
		{"videoanonymizer/hardware", []string{
			"output::codec: encoder vaapi cannot write ffv1: use one of same, h264, h265, vp9, av1, or encoder software",
			`tools::decoder: "nvdec" is not known: use one of software, cuda, vaapi`,
			`tools::vaapi_device: "dri/renderD128" is not an absolute path`,
			`tools::confine: "sometimes" is not known: use one of auto, require, off`,
		}},
		{"videoanonymizer/hardware_quality", []string{"output::quality: 52 is out of range: write 0 to 51"}},
		{"videoanonymizer/hardware_webm",
			[]string{"output::codec: h264 becomes vp9 in container webm, which encoder nvenc cannot write"}},
		{"videoanonymizer/retry", []string{"retry::initial_interval: 0s", "retry::max_interval: -1s",
			"retry::max_attempts: 0"}},
		{"videoanonymizer/retry_intervals", []string{"max_interval: 1m0s is out of range: write 1h0m0s to"}},
		{"videoanonymizer/output_move", []string{`name: "{name}_{date}" has a placeholder other than {name}`,
			"move_to: is required"}},
		{"videoanonymizer/output_hidden", []string{`name: ".{name}" hides the file`}},
		{"videoanonymizer/retention", []string{"retention::outputs: 30ns is out of range: write 1h0m0s to",
			"retention::reports: -1h0m0s", "retention::journal: 1000000h0m0s",
			"retention::unreviewed: nobody can decide on an output without a console",
			"retention::telemetry_files: has no effect without telemetry",
			`retention::telemetry_files: "[" is not a valid pattern`, `retention::telemetry_files: "" is not`}},
		{"videoanonymizer/notifications", []string{
			`notifications[0]::name: "a/b" is not a valid name`, `notifications[0]::events: "finished" is not known: use one of`,
			"notifications[0]::timeout: -1s", "notifications[0]::give_up_after: -1s",
			"notifications[0]::webhook: write either webhook or command", "notifications[1]::events: nobody reviews without",
			`notifications[1]::command: "notify-send" is not an absolute path`, "notifications[2]::name: a is used twice",
			"notifications[2]::webhook: write either webhook or command",
			"notifications[3]::webhook::url: it is not a URL", "notifications[3]::webhook::secret: it is not 24 to 64 bytes",
		}},
		{"videoanonymizer/also", []string{"mask::also: screens is listed twice",
			"mask::also: plates: license plates cannot be found, since no model for them has a permissive license",
			`mask::also: "badges" is not known: use one of screens`}},
		{"videoanonymizer/resources", []string{"resources::cpus: -1 is out of range", "resources::nice: -5 is out of range",
			`resources::io_class: "realtime" is not known: use one of unchanged, best_effort, idle`,
			"resources::io_priority: 8 is out of range", "resources::io_priority: has an effect only with io_class"}},
		{"videoanonymizer/schedule", []string{`schedule::hours: "22-6": "22-6" is not a day of the week: write 22:00`,
			`schedule::hours: "mon 7:00-8:00": "7:00" is not a time of day`,
			`schedule::on_battery: "stop" is not known: use one of work, pause`,
			`schedule::running: "kill" is not known: use one of finish, suspend`, "schedule::max_others: 50 is out of range"}},
		{"videoanonymizer/retention_telemetry", []string{"retention::telemetry_files: is required with telemetry",
			"retention::reports: 720h0m0s has no effect, since outputs are removed at 720h0m0s"}},
		{"videoanonymizer/models", []string{
			"detector::model: is empty", "detector::score_threshold: 0 ", "detector::overlap_threshold: 1.1 ",
			"detector::blurred_threshold: 0 ", "detector::candidate_threshold: -0.1 ", "detector::face_threshold: 0 ",
			"detector::tiles: 0 ",
			"detector::min_person_size: -1 ", "detector::also: a model name is empty",
			"detector::input_size: 32 ", "detector::input_size: 5000 ",
			"pose::model: is empty", "pose::score_threshold: NaN ", "pose::max_people_per_batch: 0 ", "pose::box_scale: 0.9 ",
		}},
		{"videoanonymizer/model_names", []string{
			`detector::model: "nope" is not known: ` +
				"use one of nanodet-m, centernet, movenet-multipose, detr-resnet-50, blazeface, facemesh-detection-full, " +
				"or the path of an .onnx file",
			"detector::also: blazeface is a model for face_detection: " +
				"use one of nanodet-m, centernet, movenet-multipose, detr-resnet-50, or the path",
			`detector::also: "yolo" is not known: ` +
				"use one of nanodet-m, centernet, movenet-multipose, detr-resnet-50, or the path",
			"detector::faces: nanodet-m is a model for person_detection: " +
				"use one of blazeface, facemesh-detection-full, or the path",
			"detector::survey::faces: nanodet-m is a model for person_detection: use one of blazeface",
			"pose::model: selfie-segmentation is a model for segmentation: " +
				"use one of movenet-lightning, movenet-thunder, transpose-r-a4, or the path",
			"segmentation::model: movenet-lightning is a model for pose_estimation: use one of selfie-segmentation, or the path",
		}},
		{"videoanonymizer/model_task", []string{
			"detector::model: movenet-thunder is a model for pose_estimation: use one of nanodet-m",
		}},
		{"videoanonymizer/mask", []string{"segmentation::model: is empty",
			`mask::method: "faces" is not known: use one of heads, whitelist`, `mask::shape: "star"`, `mask::fill: "emoji"`,
			`mask::color: "black"`, `mask::on_uncertain: "hope"`, "mask::scale: 0 ", "mask::max_size: 1.5 "}},
		{"videoanonymizer/whitelist", []string{"detect_every: 3 leaves frames without silhouettes",
			"mask::shape: nose_disc"}},
		{"videoanonymizer/regions", []string{
			`mask::regions[0]::action: "blur"`, "mask::regions[0]::polygon: corner 3", "mask::regions[0]::from: -1s",
			"mask::regions[1]::polygon: corner 2 has 3 numbers", "mask::regions[2]::polygon: is required with action keep",
			"mask::regions[2]::to: 1s", "mask::regions[3]::polygon: has 2 corners",
		}},
		{"videoanonymizer/inference", []string{"inference::threads: -1", "inference::sessions: -1",
			`inference::provider: "gpu"`, "inference::timeout: -1s"}},
		{"videoanonymizer/remote", []string{`inference::remote::endpoints: "grpcs://triton" has no port`,
			"inference::remote::timeout: 0s", "inference::remote::max_in_flight: 0 ", "inference::remote::trace_ratio: 1.5 ",
			`inference::remote::models: "nanodet" is not a model that another key names`}},
		{"videoanonymizer/remote_plaintext", []string{
			"inference::remote::endpoint: grpc://triton:8001 would send unmasked people in plaintext: write grpcs://triton:8001",
			"http://10.0.0.1:8000 would send unmasked people in plaintext: write https://10.0.0.1:8000"}},
		{"videoanonymizer/remote_tls", []string{"inference::remote::endpoints: endpoint is set as well",
			"inference::remote::tls::insecure: ", "inference::remote::tls::insecure_skip_verify: anyone could answer"}},
		{"videoanonymizer/remote_auth", []string{"inference::remote::auth: grpc://localhost:8001 would send its secret"}},
		{"videoanonymizer/remote_none", []string{"inference::remote::endpoint: is empty, but other keys are set"}},
		{"videoanonymizer/inference_cpu_options", []string{"inference::provider_options: the cpu provider has none"}},
		{"videoanonymizer/report", []string{"report::tiles: 0 ",
			`report::preview: "faces" is not known: use one of none, boxes`}},
		{"videoanonymizer/telemetry", []string{
			"telemetry::service_name: is empty", `telemetry::video_names: "none" is not known`,
			"telemetry::batch_size: 0 ", "telemetry::batch_interval: 0s ",
			"telemetry::max_wait: -1s", "telemetry::metrics_interval: 0s ",
			"telemetry::resource_attributes: service.name is set by service_name",
			"telemetry::resource_attributes: a name is empty",
			"telemetry::span_attributes: write strings",
		}},
	} {
		t.Run(tt.id, func(t *testing.T) {
			_, err := load(t, "config_invalid.yaml", tt.id)
			require.Error(t, err)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
			assert.Len(t, strings.Split(err.Error(), "\n"), len(tt.want), "as many errors as there are wrong keys: %v", err)
		})
	}
}

// TestRemote reads the configuration in the documentation.
func TestRemote(t *testing.T) {
	const documented = `{endpoint: grpcs://triton:8001, tls: {ca_file: ca.pem, cert_file: c.pem, key_file: c.key}, ` +
		`timeout: 5s, max_in_flight: 32}`
	retrieved, err := confmap.NewRetrievedFromYAML([]byte("inference: {remote: " + documented + "}"))
	require.NoError(t, err)
	conf, err := retrieved.AsConf()
	require.NoError(t, err)
	cfg := Default()
	require.NoError(t, conf.Unmarshal(cfg))
	cfg.Watch.Include, cfg.Output.Directory = []string{"in"}, "out"
	require.NoError(t, confmap.Validate(cfg))
	remote := cfg.Inference.Remote
	assert.True(t, remote.Enabled())
	servers, err := remote.Servers()
	require.NoError(t, err)
	assert.Equal(t, []oip.Endpoint{{TLS: true, Host: "triton", Port: 8001}}, servers)
	files := []string{remote.TLS.CAFile, remote.TLS.CertFile, remote.TLS.KeyFile}
	assert.Equal(t, []string{"ca.pem", "c.pem", "c.key"}, files)
	assert.True(t, remote.Serves("nanodet-m"), "all models by default")
	remote.Models = []string{"/models/own.onnx"}
	assert.True(t, remote.Serves("/models/own.onnx"))
	assert.False(t, remote.Serves("nanodet-m"))
	assert.Equal(t, "own", ServedName("/models/own.onnx"))
	assert.Equal(t, "nanodet-m", ServedName("nanodet-m"))
	assert.False(t, new(Remote).Serves("nanodet-m"))
}

// TestTritonExample reads the receiver's part of config/examples/triton.
func TestTritonExample(t *testing.T) {
	all, err := confmaptest.LoadConf("../../../../config/examples/triton/collector.yaml")
	require.NoError(t, err)
	conf, err := all.Sub("receivers::videoanonymizer")
	require.NoError(t, err)
	cfg := Default()
	require.NoError(t, conf.Unmarshal(cfg))
	cfg.Watch.Include, cfg.Output.Directory = []string{"in"}, "out"
	require.NoError(t, confmap.Validate(cfg))
	assert.True(t, cfg.Inference.Remote.Serves(cfg.Detector.Model))
}

func TestInputSizeSpellings(t *testing.T) {
	for _, tt := range []struct {
		raw  any
		want InputSize
		ok   bool
	}{
		{"auto", InputSize{}, true},
		{416, InputSize{LongSide: 416}, true},
		{"416", InputSize{LongSide: 416}, true}, // from an environment variable
		{[]any{416, 256}, InputSize{Width: 416, Height: 256}, true},
		{[]any{416}, InputSize{}, false},
		{[]any{416, -1}, InputSize{}, false},
		{-1, InputSize{}, false},
		{0, InputSize{}, false},
		{"large", InputSize{}, false},
		{map[string]any{"width": 416}, InputSize{}, false},
	} {
		conf := confmap.NewFromStringMap(map[string]any{"detector": map[string]any{"model": "m", "input_size": tt.raw}})
		cfg := Default()
		err := conf.Unmarshal(cfg)
		if !tt.ok {
			assert.ErrorContains(t, err, "input_size:", "%v", tt.raw)
			continue
		}
		require.NoError(t, err, "%v", tt.raw)
		assert.Equal(t, tt.want, cfg.Detector.InputSize, "%v", tt.raw)
		assert.Equal(t, "m", cfg.Detector.Model)
	}
}

func TestUnknownKeysAreRefused(t *testing.T) {
	for _, block := range []string{"watch", "output", "detector", "pose", "mask", "inference", "models", "tools",
		"telemetry"} {
		conf := confmap.NewFromStringMap(map[string]any{block: map[string]any{"no_such_key": 1}})
		assert.ErrorContains(t, conf.Unmarshal(Default()), "no_such_key", block)
	}
}

func TestColor(t *testing.T) {
	rgb, err := (&Mask{Color: "#0a80FF"}).rgb()
	require.NoError(t, err)
	assert.Equal(t, mask.RGB{R: 0x0a, G: 0x80, B: 0xff}, rgb)
}

func TestDefaultConfigIsFresh(t *testing.T) {
	a, b := Default(), Default()
	a.Detector.Model = "changed"
	assert.NotEqual(t, a, b)
}
