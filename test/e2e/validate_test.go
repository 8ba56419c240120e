// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// TestValidateAcceptsShippedConfigurations runs in an empty folder: the folders that a configuration names need not
// exist.
func TestValidateAcceptsShippedConfigurations(t *testing.T) {
	overlays, err := filepath.Glob(filepath.Join(collector.Root(), "config", "*", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, overlays)
	t.Setenv("PROMETHEUS_TOKEN", "secret")
	for _, overlay := range append(overlays, "") {
		t.Run(filepath.Base(overlay), func(t *testing.T) {
			options := collector.Options{Dir: t.TempDir()}
			if overlay != "" {
				options.Configs = []string{overlay}
			}
			out, err := collector.Validate(t.Context(), options)
			require.NoError(t, err, "%s", out)
			entries, err := os.ReadDir(options.Dir)
			require.NoError(t, err)
			assert.Empty(t, entries, "nothing is created")
		})
	}
}

// TestSmallestConfiguration: the one in the README is valid without the default configuration.
func TestSmallestConfiguration(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(collector.Root(), "README.md"))
	require.NoError(t, err)
	example := regexp.MustCompile("(?s)smallest configuration.*?```yaml\n(.*?)```").FindSubmatch(readme)
	require.NotNil(t, example)
	file := filepath.Join(t.TempDir(), "smallest.yaml")
	require.NoError(t, os.WriteFile(file, example[1], 0o600))
	command := exec.Command(filepath.Join(collector.Root(), "bin", "otelcol-anonymizer"), "validate", "--config", file)
	command.Dir = collector.Root()
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestValidateRefusesWhatCannotStart adds each fault to the default configuration.
func TestValidateRefusesWhatCannotStart(t *testing.T) {
	empty := t.TempDir()
	for name, tt := range map[string]struct {
		config string
		want   []string
	}{
		"model names": {
			`receivers: {videoanonymizer: {detector: {model: nope}, pose: {model: blazeface}}}`,
			[]string{`detector::model: "nope" is not known`, "pose::model: blazeface is a model for face_detection"},
		},
		"missing models, tools and library": {
			`receivers: {videoanonymizer: {
				detector: {also: [/no/such/model.onnx]}, models: {directory: ` + empty + `},
				tools: {ffmpeg: /no/such/ffmpeg, ffprobe: /no/such/ffprobe}, inference: {library: /no/such/library.so}}}`,
			[]string{
				"detector::model: model nanodet-m is missing at " + empty, "pose::model: model movenet-lightning is missing",
				"detector::also", "/no/such/model.onnx", "set tools::ffmpeg", "/no/such/ffprobe",
				"inference::library", "/no/such/library.so",
			},
		},
		"missing models directory": {
			`receivers: {videoanonymizer: {models: {directory: /no/such/models}}}`,
			[]string{"models::directory", "/no/such/models"},
		},
		"processor without its outlet": {
			`{processors: {attrtometrics/x: {metrics: [{name: a, attribute: n}]}},
				service: {pipelines: {traces: {processors: [memory_limiter, attrtometrics/x]}}}}`,
			[]string{`processor "attrtometrics/x" needs a connector "attrtometrics/x"`, "exporters: [attrtometrics/x, ...]"},
		},
		"outlet in another pipeline": {
			`{processors: {attrtometrics: {metrics: [{name: a, attribute: n}]}}, connectors: {forward: },
				service: {pipelines: {
					traces: {processors: [memory_limiter, attrtometrics], exporters: [span_metrics, debug]},
					traces/2: {receivers: [otlp], exporters: [attrtometrics]}}}}`,
			[]string{
				`service::pipelines::traces::exporters: processor "attrtometrics" needs the connector "attrtometrics"`,
			},
		},
		"missing certificates": {
			`{receivers: {otlp: {protocols: {grpc: {tls: {cert_file: "${env:NO_SUCH}/no/such.crt", key_file: /no/such.key}}}}},
				exporters: {otlp_grpc: {endpoint: "localhost:1", tls: {ca_file: /no/such.ca}}},
				service: {pipelines: {logs: {exporters: [otlp_grpc]}}}}`,
			[]string{
				"receivers::otlp::protocols::grpc::tls::cert_file: open /no/such.crt", "tls::key_file: open /no/such.key",
				"exporters::otlp_grpc::tls::ca_file: open /no/such.ca",
			},
		},
		"missing nkey of a share": {
			`receivers: {videoanonymizer: {share: {name: lab, root: /, embedded: {directory: /no/such},
				nkey_file: /no/such.nk}}}`,
			[]string{"receivers::videoanonymizer: share::nkey_file: open /no/such.nk"},
		},
		"missing driver": {
			`receivers: {nvml: {on_missing_driver: fail, library_path: /no/such/libnvidia-ml.so.1}}`,
			[]string{"library_path", "/no/such/libnvidia-ml.so.1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			options := collector.Options{Dir: t.TempDir(), Configs: []string{"yaml:" + tt.config}}
			out, err := collector.Validate(t.Context(), options)
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "%s", out)
			for _, want := range tt.want {
				assert.Contains(t, out, want)
			}
		})
	}
}

// TestReloadOfBadConfigurationIsRefused runs the packaged unit's commands for a reload. A configuration that cannot
// start must not end the collector.
func TestReloadOfBadConfigurationIsRefused(t *testing.T) {
	s := newSite(t)
	own := filepath.Join(s.dir, "own.yaml")
	s.configs = append(s.configs, own)
	write := func(config string) { require.NoError(t, os.WriteFile(own, []byte(config), 0o600)) }
	write("receivers: {videoanonymizer: {output: {name: '{name}_old'}}}")
	c := s.start()
	reload := func() (output string, err error) { return s.reloadAsUnit(c) }

	write("receivers: {videoanonymizer: {output: {name: '{name}_new'}, detector: {model: nope}}}")
	out, err := reload()
	require.Error(t, err)
	assert.Contains(t, out, `detector::model: "nope" is not known`)
	s.drop(s.clip("talk.mp4"), "talk.mp4")
	s.awaitVideos(c, "finished", 1)
	anonymized := filepath.Join(s.dir, "videos", "anonymized")
	assert.FileExists(t, filepath.Join(anonymized, "talk_old.mp4"), "the old configuration is still in use")

	write("receivers: {videoanonymizer: {output: {name: '{name}_new'}}}")
	out, err = reload()
	require.NoError(t, err, "%s", out)
	s.drop(s.clip("walk.mp4"), "walk.mp4")
	ctx := t.Context()
	require.NoError(t, c.Await(ctx, "the next video under its new name", 100*time.Millisecond, func() (bool, error) {
		_, err := os.Stat(filepath.Join(anonymized, "walk_new.mp4"))
		return err == nil, ctx.Err()
	}))
	require.NoError(t, c.Stop(20*time.Second))
}

// reloadAsUnit runs the commands of ExecReload in order, as systemd does, up to the first one that fails.
func (s site) reloadAsUnit(c *collector.Collector) (output string, err error) {
	s.Helper()
	const program, config = "/usr/bin/otelcol-anonymizer", " --config /etc/otelcol-anonymizer/config.yaml"
	unit := string(read(s.T, filepath.Join(collector.Root(), "packaging", "otelcol-anonymizer.service")))
	require.Contains(s, unit, "ExecStart="+program+config+"\n")
	for line := range strings.Lines(unit) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecReload=")
		if !ok {
			continue
		}
		if command == program+" validate"+config {
			output, err = collector.Validate(s.Context(), collector.Options{Dir: s.dir, Configs: s.configs})
		} else {
			var out []byte
			out, err = exec.Command("sh", "-c", strings.ReplaceAll(command, "$MAINPID", strconv.Itoa(c.PID()))).CombinedOutput()
			output = string(out)
		}
		if err != nil {
			return output, err
		}
	}
	return output, nil
}
