// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package oip

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

var realModels = []string{pose, "nanodet-m", "movenet-multipose", "blazeface", "selfie-segmentation"}

// TestRealServers compares the outputs of real servers with those of this process. `make triton-test` installs the
// servers.
func TestRealServers(t *testing.T) {
	if os.Getenv("TRITON_SERVER") == "" {
		t.Skip("make triton-test runs it")
	}
	t.Run("triton", func(t *testing.T) {
		sink := newTraceSink(t)
		ports := freePorts(t, 2)
		args := []string{"testdata/serve_triton.py", ports[0], ports[1], sink.URL + "/v1/traces"}
		for _, name := range realModels {
			args = append(args, modelFile(name))
		}
		run := startReal(t, "", os.Getenv("TRITON_SERVER"), args...)
		for _, endpoint := range []string{"grpc://127.0.0.1:" + ports[1], "http://127.0.0.1:" + ports[0]} {
			t.Run(endpoint, func(t *testing.T) {
				span := compareReal(t, run, endpoint)
				require.Eventually(t, func() bool { return sink.hasChild(span) }, 30*time.Second, 100*time.Millisecond,
					"Triton's span is a child of ours")
			})
		}
	})
	t.Run("mlserver", func(t *testing.T) {
		ports := freePorts(t, 3)
		dir := t.TempDir()
		writeMLServer(t, dir, ports)
		run := startReal(t, dir, os.Getenv("MLSERVER"), "start", dir)
		for _, endpoint := range []string{"grpc://127.0.0.1:" + ports[1], "http://127.0.0.1:" + ports[0]} {
			t.Run(endpoint, func(t *testing.T) { compareReal(t, run, endpoint) })
		}
	})
}

// compareReal compares the outputs of all models, and returns the span of the runs.
func compareReal(t *testing.T, server *real, endpoint string) *inference.Span {
	t.Helper()
	at, err := ParseEndpoint(endpoint)
	require.NoError(t, err)
	client, sessions := connect(t, Options{Endpoints: []Endpoint{at}, Timeout: 30 * time.Second}, realModels)
	require.NoError(t, client.Start(t.Context()))
	ready, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, client.Await(ready), "%v\n%s", client.why(), server.output())
	span := &inference.Span{TraceID: [16]byte{1, byte(len(endpoint))}, SpanID: [8]byte{2}, Sampled: true}
	inputs := [][]inference.Tensor{people(3), image(192, 320), image(288, 512), image(256, 256), image(512, 256)}
	inputs[4][0].Shape = []int64{2, 256, 256, 3} // a batch of two square images
	for i, session := range sessions {
		want, err := run(t.Context(), session.Model.Reference, inputs[i])
		require.NoError(t, err)
		got, err := run(inference.WithSpan(t.Context(), span), session, inputs[i])
		require.NoError(t, err)
		assertSameBits(t, want, got)
		t.Logf("%s by %s: %+v", realModels[i], endpoint, session.Identities())
	}
	return span
}

// traceSink receives traces over OTLP/HTTP, like the collector's otlp receiver.
type traceSink struct {
	*httptest.Server
	mu      sync.Mutex
	parents map[string]bool // of the spans received so far
}

func newTraceSink(t *testing.T) *traceSink {
	t.Helper()
	sink := &traceSink{parents: map[string]bool{}}
	sink.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		request := ptraceotlp.NewExportRequest()
		read := request.UnmarshalProto
		if r.Header.Get("Content-Type") == "application/json" {
			read = request.UnmarshalJSON
		}
		if err == nil {
			err = read(body)
		}
		if !assert.NoError(t, err) {
			return
		}
		sink.mu.Lock()
		defer sink.mu.Unlock()
		for _, resource := range request.Traces().ResourceSpans().All() {
			for _, scope := range resource.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					sink.parents[span.TraceID().String()+span.ParentSpanID().String()] = true
				}
			}
		}
	}))
	t.Cleanup(sink.Close)
	return sink
}

func (s *traceSink) hasChild(span *inference.Span) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parents[hex.EncodeToString(span.TraceID[:])+hex.EncodeToString(span.SpanID[:])]
}

// real is a running server. It collects the server's output.
type real struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *real) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *real) output() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func startReal(t *testing.T, dir, program string, args ...string) *real {
	t.Helper()
	server := &real{}
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = server, server
	command.Env = append(os.Environ(), "PYTHONPATH="+dir, "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) })
		_ = command.Wait()
		timer.Stop()
	})
	return server
}

// writeMLServer writes MLServer's configuration for all models.
func writeMLServer(t *testing.T, dir string, ports []string) {
	t.Helper()
	write := func(path, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600))
	}
	code, err := os.ReadFile("testdata/mlserver_onnx.py")
	require.NoError(t, err)
	write("mlserver_onnx.py", string(code))
	write("settings.json", fmt.Sprintf(`{"host": "127.0.0.1", "http_port": %s, "grpc_port": %s, "metrics_port": %s, `+
		`"parallel_workers": 0, "grpc_max_message_length": -1}`, ports[0], ports[1], ports[2]))
	for _, name := range realModels {
		session := openModel(t, modelFile(name))
		describe := func(infos []inference.TensorInfo) (all []tensorMetadata) {
			for _, info := range infos {
				all = append(all, tensorMetadata{info.Name, datatypes[info.Type], info.Shape})
			}
			return all
		}
		path, err := filepath.Abs(modelFile(name))
		require.NoError(t, err)
		text, err := json.Marshal(map[string]any{
			"name": name, "implementation": "mlserver_onnx.Runtime", "platform": "onnx",
			"inputs": describe(session.Inputs()), "outputs": describe(session.Outputs()),
			"parameters": map[string]any{"uri": path, "version": "v1"},
		})
		require.NoError(t, err)
		require.NoError(t, session.Close())
		write(name+"/model-settings.json", string(text))
	}
}

func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		_, port, err := net.SplitHostPort(listener.Addr().String())
		require.NoError(t, err)
		ports = append(ports, port)
		defer func() { _ = listener.Close() }()
	}
	return ports
}
