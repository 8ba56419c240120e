// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
)

func TestOneReceiverForAllSignalsOfAnID(t *testing.T) {
	f := NewFactory()
	assert.Equal(t, "videoanonymizer", f.Type().String())
	for _, level := range []component.StabilityLevel{f.TracesStability(), f.LogsStability(), f.MetricsStability()} {
		assert.Equal(t, component.StabilityLevelAlpha, level)
	}
	set := receivertest.NewNopSettings(metadata.Type)
	config := func() *Config {
		cfg := f.CreateDefaultConfig().(*Config)
		cfg.Watch.Include = []string{t.TempDir() + "/*"}
		cfg.Output.Directory = t.TempDir()
		cfg.Models.Directory = "../../models"
		return cfg
	}
	cfg := config()
	next := consumertest.NewNop()
	traces, err := f.CreateTraces(t.Context(), set, cfg, next)
	require.NoError(t, err)
	logs, err := f.CreateLogs(t.Context(), set, cfg, next)
	require.NoError(t, err)
	metrics, err := f.CreateMetrics(t.Context(), set, cfg, next)
	require.NoError(t, err)
	assert.Same(t, traces, logs)
	assert.Same(t, traces, metrics)

	other, err := f.CreateTraces(t.Context(), set, config(), next)
	require.NoError(t, err)
	assert.NotSame(t, traces, other, "another ID has another configuration")
	require.NoError(t, other.Shutdown(t.Context()))

	// The collector stops each signal. A reload then creates new ones.
	require.NoError(t, traces.Shutdown(t.Context()))
	require.NoError(t, logs.Shutdown(t.Context()))
	require.NoError(t, metrics.Shutdown(t.Context()))
	again, err := f.CreateTraces(t.Context(), set, cfg, next)
	require.NoError(t, err)
	assert.NotSame(t, traces, again, "a receiver that was stopped is not used again")
	require.NoError(t, again.Shutdown(t.Context()))
}

func TestAllSignalsLearnWhyTheReceiverDidNotStart(t *testing.T) {
	f := NewFactory()
	set := receivertest.NewNopSettings(metadata.Type)
	cfg := newTestConfig(t)
	cfg.Output.Directory = filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(cfg.Output.Directory, nil, 0o600))
	traces, err := f.CreateTraces(t.Context(), set, cfg, consumertest.NewNop())
	require.NoError(t, err)
	logs, err := f.CreateLogs(t.Context(), set, cfg, consumertest.NewNop())
	require.NoError(t, err)
	host := componenttest.NewNopHost()
	first := traces.Start(t.Context(), host)
	require.ErrorContains(t, first, cfg.Output.Directory)
	assert.Same(t, first, logs.Start(t.Context(), host), "it is tried once")
	require.NoError(t, traces.Shutdown(t.Context()))
	require.NoError(t, logs.Shutdown(t.Context()))
}

// TestCreateRefusesWhatCannotStart checks that the collector's validate command, which creates every component and
// starts none, reports everything that this machine lacks.
func TestCreateRefusesWhatCannotStart(t *testing.T) {
	dir := t.TempDir()
	empty, text := filepath.Join(dir, "empty"), filepath.Join(dir, "libonnxruntime.so")
	require.NoError(t, os.Mkdir(empty, 0o755))
	require.NoError(t, os.WriteFile(text, []byte("not a library"), 0o600))
	for name, tt := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"everything": {func(cfg *Config) {
			cfg.Tools.FFmpeg, cfg.Tools.FFprobe = "/no/such/ffmpeg", "/no/such/ffprobe"
			cfg.Models.Directory = empty
			cfg.Inference.Library = "/no/such/libonnxruntime.so"
			cfg.Detector.Also = []string{"/no/such/model.onnx", "centernet", empty}
			cfg.Mask.Method = mask.Whitelist
		}, []string{
			"/no/such/ffmpeg", "set tools::ffmpeg", "/no/such/ffprobe", "set tools::ffprobe",
			"inference::library: ", "/no/such/libonnxruntime.so", "run `make models`",
			"detector::model: model nanodet-m is missing at " + empty,
			"detector::also: model cannot be used: there is no file at /no/such/model.onnx: write the path",
			"detector::also: model centernet is missing at " + empty, "make models MODELS=centernet",
			"detector::also: model cannot be used: there is no file at " + empty,
			"detector::faces: model blazeface is missing", "pose::model: model movenet-lightning is missing",
			"detector::survey::faces: model facemesh-detection-full is missing",
			"segmentation::model: model selfie-segmentation is missing",
		}},
		"no models directory": {func(cfg *Config) { cfg.Models.Directory = "/no/such/models" },
			[]string{"models::directory: no models directory at /no/such/models"}},
		"a library that is none": {func(cfg *Config) { cfg.Inference.Library = text },
			[]string{"inference::library: ", text}},
		"an execution provider that the library lacks": {func(cfg *Config) { cfg.Inference.Provider = "cuda" },
			[]string{"inference::provider: execution provider cuda cannot be used (set provider to cpu"}},
		"faces alone": {func(cfg *Config) { cfg.Detector.Model, cfg.Models.Directory = "blazeface", empty },
			[]string{"detector::faces: model blazeface is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newTestConfig(t)
			tt.change(cfg)
			set := receivertest.NewNopSettings(metadata.Type)
			_, err := NewFactory().CreateTraces(t.Context(), set, cfg, consumertest.NewNop())
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
	t.Run("folders that a start creates", func(t *testing.T) {
		cfg := newTestConfig(t)
		cfg.Watch.Include = []string{filepath.Join(dir, "incoming", "*")}
		cfg.Output.Directory = filepath.Join(dir, "anonymized")
		set := receivertest.NewNopSettings(metadata.Type)
		r, err := NewFactory().CreateTraces(t.Context(), set, cfg, consumertest.NewNop())
		require.NoError(t, err)
		require.NoError(t, r.Shutdown(t.Context()))
		assert.NoDirExists(t, filepath.Join(dir, "incoming"))
		assert.NoDirExists(t, filepath.Join(dir, "anonymized"))
	})
}

// TestCreateRefusesSharedState checks that create detects a conflict that otherwise only a start would, by the lock on
// the directory.
func TestCreateRefusesSharedState(t *testing.T) {
	f := NewFactory()
	first := newTestConfig(t)
	r, err := f.CreateTraces(t.Context(), receivertest.NewNopSettings(metadata.Type), first, consumertest.NewNop())
	require.NoError(t, err)
	set := receivertest.NewNopSettings(metadata.Type)
	set.ID = component.MustNewIDWithName("videoanonymizer", "second")
	create := func(change func(*Config)) error {
		cfg := newTestConfig(t)
		change(cfg)
		second, err := f.CreateTraces(t.Context(), set, cfg, consumertest.NewNop())
		if err == nil {
			require.NoError(t, second.Shutdown(t.Context()))
		}
		return err
	}
	same := func(cfg *Config) { cfg.Output.Directory = first.Output.Directory + "/../out/" }
	require.ErrorContains(t, create(same), "output::directory: receiver videoanonymizer")
	require.ErrorContains(t, create(func(cfg *Config) {
		cfg.Output.StateDirectory = filepath.Join(first.Output.Directory, ".otelcol-anonymizer")
	}), "output::state_directory: receiver videoanonymizer")
	require.NoError(t, create(func(cfg *Config) {
		same(cfg)
		cfg.Output.StateDirectory = t.TempDir()
	}), "outputs may share a folder")
	require.NoError(t, r.Shutdown(t.Context()))
	require.NoError(t, create(same), "the first is gone")
}
