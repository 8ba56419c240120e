// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/resources"
)

// listens is an environment variable that turns this test into a program that listens on a port, prints it and waits.
const listens = "DOCTOR_TEST_LISTENS"

func TestMain(m *testing.M) {
	if os.Getenv(listens) != "" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		fmt.Println(listener.Addr())
		select {}
	}
	goleak.VerifyTestMain(m)
}

// machine is a working directory that has everything a configuration needs.
type machine struct {
	*testing.T
	models string // a folder of links to the models, for tests to change
}

func newMachine(t *testing.T) *machine {
	source, err := filepath.Abs("../../../../models")
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(source, "lib", "libonnxruntime.so.1")); err != nil {
		t.Fatal("run `make models` first")
	}
	m := &machine{T: t, models: filepath.Join(t.TempDir(), "models")}
	require.NoError(t, os.Mkdir(m.models, 0o755))
	files, err := filepath.Glob(filepath.Join(source, "*.onnx"))
	require.NoError(t, err)
	for _, file := range append(files, filepath.Join(source, "lib")) {
		require.NoError(t, os.Symlink(file, filepath.Join(m.models, filepath.Base(file))))
	}
	m.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir("incoming", 0o755))
	return m
}

// examine checks a configuration with the given lines in its receiver and at its end.
func (m *machine) examine(receiver, others string) []Finding {
	m.Helper()
	text := fmt.Sprintf(`
receivers:
  videoanonymizer:
    watch: {include: [incoming/*]}
    models: {directory: %s}
    output:
      directory: outputs
%s
exporters: {debug: }
service:
  pipelines:
    logs: {receivers: [videoanonymizer], exporters: [debug]}
%s`, m.models, receiver, others)
	require.NoError(m, os.WriteFile("config.yaml", []byte(text), 0o644))
	return Configuration(m.Context(), []string{"config.yaml"})
}

func missing(findings []Finding) (texts []string) {
	for _, f := range findings {
		if f.Missing != nil {
			texts = append(texts, f.What+": "+f.Missing.Error())
		}
	}
	return texts
}

// TestResources: the doctor tries to apply the configured limits.
func TestResources(t *testing.T) {
	all := resources.Available()
	for given, want := range map[config.Resources]string{
		{CPUs: 9999, Nice: 3}: fmt.Sprintf("no more than %d CPUs are allowed anyway", all),
		{Nice: 3}:             "can be limited",
		{}:                    "",
	} {
		cfg := config.Default()
		cfg.Resources = given
		var note string
		for _, f := range bounds(cfg) {
			require.NoError(t, f.Missing)
			note = f.Note
		}
		assert.Equal(t, want, note)
	}
	cfg := config.Default()
	cfg.Resources.CPUs = 1
	if all > 1 {
		assert.Equal(t, []Finding{{What: "resources", Note: fmt.Sprintf("CPUs: 1 of %d", all)}}, bounds(cfg))
	}
}

// TestDoctor removes one prerequisite at a time.
func TestDoctor(t *testing.T) {
	if testing.Short() {
		t.Skip("looks at the models many times")
	}
	ffmpegPath, err := exec.LookPath("ffmpeg")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		receiver, others string
		spoil            func(*machine)
		want             []string // parts of the findings, in order; nil if nothing is missing
	}{
		"nothing": {},
		"ffmpeg": {
			receiver: "    tools: {ffmpeg: /no/ffmpeg}",
			want:     []string{"ffmpeg and ffprobe: tools::ffmpeg: "},
		},
		"encoder in ffmpeg": {
			receiver: "    tools: {ffmpeg: ./ffmpeg, confine: 'off'}",
			spoil: func(m *machine) {
				m.script("ffmpeg", fmt.Sprintf(
					`case "$*" in *-encoders*) %[1]s "$@" | grep -v libx264 ;; *) exec %[1]s "$@" ;; esac`, ffmpegPath))
			},
			want: []string{"encoder: output::encoder: "},
		},
		"GPU that encodes": {
			receiver: "      encoder: nvenc",
			want:     []string{"encoder: output::encoder: ", "NVIDIA GPU: output::encoder: no NVIDIA driver"},
		},
		"GPU that decodes": {
			receiver: "    tools: {decoder: cuda}",
			want:     []string{"decoder: tools::decoder: ", "NVIDIA GPU: tools::decoder: no NVIDIA driver"},
		},
		"VA-API GPU": {
			receiver: "    tools: {decoder: vaapi, vaapi_device: /dev/dri/none}",
			want:     []string{"decoder: tools::decoder: ", "VA-API GPU: tools::vaapi_device: "},
		},
		"provider": {
			receiver: "    inference: {provider: cuda}",
			want: []string{"inference: inference::provider: ", "NVIDIA GPU: inference::provider: no NVIDIA driver",
				"CUDA libraries: inference::provider: "},
		},
		"ONNX Runtime": {
			receiver: "    inference: {library: /no/libonnxruntime.so}",
			want:     []string{"ONNX Runtime: inference::library: "},
		},
		"models": {
			spoil: func(m *machine) { require.NoError(m, os.RemoveAll(m.models)) },
			want:  []string{"models: models::directory: "},
		},
		"model": {
			spoil: func(m *machine) { require.NoError(m, os.Remove(filepath.Join(m.models, "blazeface.onnx"))) },
			want:  []string{"model blazeface: detector::faces: "},
		},
		"model's hash": {
			spoil: func(m *machine) {
				path := filepath.Join(m.models, "movenet-lightning.onnx")
				require.NoError(m, os.Remove(path))
				require.NoError(m, os.WriteFile(path, []byte("another"), 0o644))
			},
			want: []string{"model movenet-lightning: pose::model: "},
		},
		"folder": {
			spoil: func(m *machine) { require.NoError(m, os.WriteFile("outputs", nil, 0o644)) },
			want: []string{"folder outputs: output::directory: ", "output::state_directory: ",
				"disk of outputs: output::directory: "},
		},
		"right to write": {
			spoil: func(m *machine) {
				require.NoError(m, os.Mkdir("outputs", 0o755))
				m.asNobody()
			},
			want: []string{"folder outputs: output::directory: ", "output::state_directory: "},
		},
		"right to read": {
			spoil: func(m *machine) {
				require.NoError(m, os.Chmod("incoming", 0o700))
				require.NoError(m, os.Mkdir("outputs", 0o777))
				require.NoError(m, os.Chmod("outputs", 0o777))
				m.asNobody()
			},
			want: []string{"folder incoming: watch::include: "},
		},
		"right to take sources": {
			receiver: "      on_success: delete",
			spoil: func(m *machine) {
				require.NoError(m, os.Mkdir("outputs", 0o777))
				require.NoError(m, os.Chmod("outputs", 0o777))
				m.asNobody()
			},
			want: []string{"folder incoming: watch::include: "},
		},
		"disk": {
			receiver: "      min_free_space: 1000000000",
			want:     []string{"disk of outputs: output::min_free_space: only "},
		},
		"port": {
			others: "  extensions: [health_check]\nextensions: {health_check: {endpoint: '127.0.0.1:PORT'}}",
			want:   []string{"extensions::health_check::endpoint: 127.0.0.1:PORT is in use by doctor.test: "},
		},
		"port of the telemetry": {
			others: "  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: PORT}}}}]}}",
			want:   []string{"service::telemetry::metrics::readers: 127.0.0.1:PORT is in use by doctor.test: "},
		},
		"address": {
			others: "  extensions: [anonymizer_console]\nextensions: {anonymizer_console: {endpoint: '192.0.2.1:80'}}",
			want:   []string{"extensions::anonymizer_console::endpoint: "},
		},
		"valid configuration": {
			receiver: "      codec: h263",
			want:     []string{"configuration: receivers::videoanonymizer: output::codec"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := os.Stat("/proc/driver/nvidia")
			if err == nil && strings.Contains(strings.Join(c.want, ""), "no NVIDIA driver") {
				t.Skip("this machine has a driver")
			}
			m := newMachine(t)
			if c.spoil != nil {
				c.spoil(m)
			}
			listening, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer listening.Close()
			_, port, err := net.SplitHostPort(listening.Addr().String())
			require.NoError(t, err)
			found := missing(m.examine(c.receiver, strings.ReplaceAll(c.others, "PORT", port)))
			require.Len(t, found, len(c.want), "%q", found)
			for i, want := range c.want {
				assert.Contains(t, found[i], strings.ReplaceAll(want, "PORT", port))
			}
		})
	}
}

func (m *machine) script(name, text string) {
	require.NoError(m, os.WriteFile(name, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
}

// asNobody drops root's file system privileges in this goroutine until its test ends.
func (m *machine) asNobody() {
	if os.Geteuid() != 0 {
		return // this user owns the test's folders: the cases that call this need root
	}
	require.NoError(m, os.Chmod(filepath.Dir(m.models), 0o755))
	working, err := os.Getwd()
	require.NoError(m, err)
	for dir := working; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		require.NoError(m, os.Chmod(dir, 0o755))
	}
	require.NoError(m, os.WriteFile("config.yaml", nil, 0o666))
	require.NoError(m, os.Chmod("config.yaml", 0o666))
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	require.NoError(m, unix.Setfsuid(65534))
	m.Cleanup(func() { require.NoError(m, unix.Setfsuid(0)) }) // before the test's folders are removed
}

// TestCollectorThatRuns: a port that the running collector itself holds is not a problem.
func TestCollectorThatRuns(t *testing.T) {
	m := newMachine(t)
	self, err := os.Executable()
	require.NoError(t, err)
	content, err := os.ReadFile(self)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, content, 0o755))
	collector := exec.Command("./" + program)
	collector.Env = append(os.Environ(), listens+"=1")
	out, err := collector.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, collector.Start())
	defer func() {
		_ = collector.Process.Kill()
		_ = collector.Wait()
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	findings := m.examine("", fmt.Sprintf(
		"  extensions: [health_check]\nextensions: {health_check: {endpoint: '%s'}}", strings.TrimSpace(address)))
	assert.Empty(t, missing(findings))
	assert.Equal(t, "in use by a running collector", findings[len(findings)-1].Note)
}

func TestUnusedReceiver(t *testing.T) {
	t.Chdir(t.TempDir())
	unused := []byte("receivers: {videoanonymizer: }\nservice: {pipelines: }")
	require.NoError(t, os.WriteFile("config.yaml", unused, 0o644))
	found := missing(Configuration(t.Context(), []string{"config.yaml"}))
	require.Len(t, found, 1)
	assert.Contains(t, found[0], "no pipeline has a receiver videoanonymizer")
	found = missing(Configuration(t.Context(), []string{"no.yaml"}))
	require.Len(t, found, 1)
	assert.Contains(t, found[0], "no.yaml")
}

// TestGPU checks the drivers and devices of simulated systems.
func TestGPU(t *testing.T) {
	const driver = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  %s  Release Build\n"
	for name, c := range map[string]struct {
		version, device string
		provider        string
		note, missing   string
	}{
		"none needed":     {provider: "cpu", note: "no driver"},
		"there":           {version: "580.65.06", device: "nvidia0", provider: "cuda", note: "1, driver 580.65.06"},
		"no driver":       {provider: "tensorrt", missing: "inference::provider: no NVIDIA driver"},
		"no device":       {version: "580.65.06", provider: "cuda", missing: "there is no /dev/nvidia0"},
		"only control":    {version: "580.65.06", device: "nvidiactl", provider: "cuda", missing: "there is no /dev/nvidia0"},
		"old driver":      {version: "550.90.07", device: "nvidia0", provider: "cuda", missing: "older than 580"},
		"old, not needed": {version: "550.90.07", device: "nvidia0", provider: "cpu", note: "1, driver 550.90.07"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			require.NoError(t, os.MkdirAll(filepath.Join(root, "proc/driver/nvidia"), 0o755))
			require.NoError(t, os.MkdirAll(filepath.Join(root, "dev"), 0o755))
			if c.version != "" {
				require.NoError(t, os.WriteFile(filepath.Join(root, "proc/driver/nvidia/version"),
					fmt.Appendf(nil, driver, c.version), 0o644))
			}
			if c.device != "" {
				require.NoError(t, os.WriteFile(filepath.Join(root, "dev", c.device), nil, 0o644))
			}
			cfg := config.Default()
			cfg.Inference.Provider = c.provider
			findings := gpus(cfg, root)
			if c.missing == "" {
				require.NoError(t, findings[0].Missing)
				assert.Contains(t, findings[0].Note, c.note)
				return
			}
			require.ErrorContains(t, findings[0].Missing, c.missing)
		})
	}
}

// TestCUDALibraries uses a library that exists everywhere, one of ffmpeg's, as the CUDA provider next to ONNX Runtime,
// and looks for the libraries that it needs.
func TestCUDALibraries(t *testing.T) {
	libraries, err := filepath.Glob("/usr/lib/*/libavformat.so.*")
	require.NoError(t, err)
	require.NotEmpty(t, libraries, "ffmpeg's libraries")
	root := t.TempDir()
	runtime := filepath.Join(root, "libonnxruntime.so.1")
	require.NoError(t, os.Symlink(libraries[0], filepath.Join(root, "libonnxruntime_providers_cuda.so")))
	require.NoError(t, cudaLibraries("/", runtime, "cuda").Missing, "the loader's cache has them")
	require.ErrorContains(t, cudaLibraries(root, runtime, "cuda").Missing, "the loader does not find libavcodec.so.")
	t.Setenv("LD_LIBRARY_PATH", filepath.Dir(libraries[0]))
	missing := cudaLibraries(root, runtime, "cuda").Missing
	if missing != nil {
		assert.NotContains(t, missing.Error(), "libavcodec.so.")
	}
	require.ErrorContains(t, cudaLibraries("/", runtime, "tensorrt").Missing, "make models GPU=cuda")
}
