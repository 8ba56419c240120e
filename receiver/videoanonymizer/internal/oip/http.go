// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package oip

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// binaryExtension is the protocol extension that appends tensors to the JSON as bytes.
const (
	binaryExtension = "binary_tensor_data"
	headerLength    = "Inference-Header-Content-Length"
)

// maxMessage limits the bytes of everything but tensors.
const maxMessage = 1 << 20

// httpTransport implements the protocol over HTTP.
type httpTransport struct {
	base   string
	client http.Client
	pool   *http.Transport
	binary bool // whether the server supports the binary extension; written while the server is verified
	mu     sync.Mutex
}

func (c *Client) dialHTTP(at Endpoint, connected func()) (transport, error) {
	scheme := "http://"
	if at.TLS {
		scheme = "https://"
	}
	counter := &dialer{connected: connected}
	parallel := max(1, c.opts.MaxInFlight) + 1 // plus one for the readiness check
	pool := &http.Transport{
		DialContext: counter.dial, TLSClientConfig: c.opts.TLS.Clone(), DisableCompression: true,
		MaxIdleConns: parallel, MaxIdleConnsPerHost: parallel, MaxConnsPerHost: parallel,
	}
	t := &httpTransport{base: scheme + at.address() + at.Path + "/v2", pool: pool}
	t.client.Transport = pool
	t.client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return errors.New("the server redirects requests to a place that may not be allowed to see them")
	}
	if c.opts.Authenticate != nil {
		var err error
		if t.client.Transport, err = c.opts.Authenticate(pool); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// dialer counts open connections. As long as one is open, the server is still the same process.
type dialer struct {
	net.Dialer
	connected func()

	mu   sync.Mutex
	open int
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == 0 {
		d.connected()
	}
	d.open++
	return &countedConn{Conn: conn, dialer: d}, nil
}

type countedConn struct {
	net.Conn
	dialer *dialer
	once   sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.dialer.mu.Lock()
		defer c.dialer.mu.Unlock()
		c.dialer.open--
	})
	return c.Conn.Close()
}

func (t *httpTransport) serverReady(ctx context.Context) error {
	if _, err := t.get(ctx, "/health/ready"); err != nil {
		return err
	}
	body, err := t.get(ctx, "")
	if err != nil {
		return err
	}
	var server struct {
		Extensions []string `json:"extensions"`
	}
	if err := json.Unmarshal(body, &server); err != nil {
		return fmt.Errorf("metadata of the server: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.binary = slices.Contains(server.Extensions, binaryExtension)
	return nil
}

func (t *httpTransport) modelReady(ctx context.Context, name, version string) error {
	if _, err := t.get(ctx, modelPath(name, version)+"/ready"); err != nil {
		return fmt.Errorf("%w: %w", errModelNotReady, err)
	}
	return nil
}

func (t *httpTransport) modelMetadata(ctx context.Context, name string) (metadata, error) {
	body, err := t.get(ctx, modelPath(name, ""))
	if err != nil {
		return metadata{}, err
	}
	var got struct {
		Versions        []string         `json:"versions"`
		Inputs, Outputs []tensorMetadata // JSON names match regardless of case
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return metadata{}, fmt.Errorf("metadata of the model: %w", err)
	}
	return metadata{versions: got.Versions, inputs: got.Inputs, outputs: got.Outputs}, nil
}

func modelPath(name, version string) string {
	path := "/models/" + url.PathEscape(name)
	if version != "" {
		path += "/versions/" + url.PathEscape(version)
	}
	return path
}

func (t *httpTransport) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	body, _, err := t.do(request, maxMessage)
	return body, err
}

// do sends a request, and returns the header of the response and its body of at most limit bytes.
func (t *httpTransport) do(request *http.Request, limit int64) ([]byte, http.Header, error) {
	response, err := t.client.Do(request)
	if err != nil {
		return nil, nil, errors.Unwrap(err) // the outer error repeats the address
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		return nil, nil, fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(text))
	}
	var body bytes.Buffer
	if response.ContentLength > 0 && response.ContentLength <= limit {
		body.Grow(int(response.ContentLength) + bytes.MinRead)
	}
	n, err := body.ReadFrom(io.LimitReader(response.Body, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("the answer has more than %d bytes", limit)
	}
	return body.Bytes(), response.Header, err
}

// JSON of requests and answers.
type (
	inferRequest struct {
		Inputs     []inferInput   `json:"inputs"`
		Outputs    []inferNamed   `json:"outputs"`
		Parameters map[string]any `json:"parameters,omitempty"`
	}
	inferInput struct {
		tensorMetadata
		Parameters map[string]any  `json:"parameters,omitempty"`
		Data       json.RawMessage `json:"data,omitempty"`
	}
	inferNamed struct {
		Name       string         `json:"name"`
		Parameters map[string]any `json:"parameters,omitempty"`
	}
	inferAnswer struct {
		Outputs []inferOutput `json:"outputs"`
	}
	inferOutput struct {
		tensorMetadata
		Parameters struct {
			Size *int `json:"binary_data_size"`
		} `json:"parameters"`
		Data json.RawMessage `json:"data"`
	}
)

func (t *httpTransport) infer(ctx context.Context, r *request, version string) (answer, error) {
	t.mu.Lock()
	binary := t.binary
	t.mu.Unlock()
	parts, err := body(r, binary)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost,
		t.base+modelPath(r.session.Model.Name, version)+"/infer", http.NoBody)
	if err != nil {
		return nil, err
	}
	request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(reader(parts)), nil }
	request.Body, _ = request.GetBody()
	for _, part := range parts {
		request.ContentLength += int64(len(part))
	}
	request.Header.Set("Content-Type", "application/json")
	// Running a model twice does no harm. With an idempotency key, a request on a connection that the server is closing is
	// retried. An empty list is not sent.
	request.Header["Idempotency-Key"] = []string{}
	if binary {
		request.Header.Set("Content-Type", "application/octet-stream")
		request.Header.Set(headerLength, strconv.Itoa(len(parts[0])))
	}
	if parent := r.span.TraceParent(); parent != "" {
		request.Header.Set(traceParent, parent)
	}
	got, header, err := t.do(request, maxBody(r.shapes))
	if err != nil {
		return nil, err
	}
	return readAnswer(got, header.Get(headerLength))
}

// maxBody limits the bytes of an answer. The text of a number has at most 26 bytes, including white space and a comma.
func maxBody(shapes [][]int64) int64 {
	limit := int64(maxMessage)
	for _, shape := range shapes {
		limit += 26 * elements(shape)
	}
	return limit
}

func reader(parts [][]byte) io.Reader {
	readers := make([]io.Reader, len(parts))
	for i, part := range parts {
		readers[i] = bytes.NewReader(part)
	}
	return io.MultiReader(readers...)
}

// body returns the JSON of a request, followed by the inputs if they are sent as bytes.
func body(r *request, binary bool) ([][]byte, error) {
	var message inferRequest
	parts := make([][]byte, 1)
	for i, info := range r.session.inputs {
		in := inferInput{tensorMetadata: tensorMetadata{info.Name, datatypes[info.Type], r.inputs[i].Shape}}
		if binary {
			data := encode(&r.inputs[i])
			in.Parameters = map[string]any{"binary_data_size": len(data)}
			parts = append(parts, data)
		} else {
			in.Data = numbers(&r.inputs[i])
		}
		message.Inputs = append(message.Inputs, in)
	}
	for _, info := range r.session.outputs {
		named := inferNamed{Name: info.Name}
		if binary {
			named.Parameters = map[string]any{"binary_data": true}
		}
		message.Outputs = append(message.Outputs, named)
	}
	text, err := json.Marshal(message)
	parts[0] = text
	return parts, err
}

// numbers returns the elements as a JSON array.
func numbers(t *inference.Tensor) []byte {
	text := []byte{'['}
	for _, v := range t.Uint8 {
		text = append(strconv.AppendUint(text, uint64(v), 10), ',')
	}
	for _, v := range t.Int64 {
		text = append(strconv.AppendInt(text, v, 10), ',')
	}
	for _, v := range t.Float32 {
		text = append(strconv.AppendFloat(text, float64(v), 'g', -1, 32), ',')
	}
	return append(bytes.TrimSuffix(text, []byte{','}), ']')
}

// readAnswer reads the JSON of an answer and the bytes that follow it. length is the length of the JSON. If it is
// empty, no bytes follow.
func readAnswer(body []byte, length string) (answer, error) {
	text, rest := body, []byte(nil)
	if length != "" {
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > len(body) {
			return nil, fmt.Errorf("the answer has %d bytes, but a header of %q", len(body), length)
		}
		text, rest = body[:n], body[n:]
	}
	var got inferAnswer
	if err := json.Unmarshal(text, &got); err != nil {
		return nil, fmt.Errorf("the answer is not the JSON of an inference: %w", err)
	}
	given := make(answer, len(got.Outputs))
	for i, o := range got.Outputs {
		given[i] = output{name: o.Name, datatype: o.Datatype, shape: o.Shape}
		var err error
		switch size := o.Parameters.Size; {
		case size == nil:
			given[i].Tensor, err = readNumbers(o.Datatype, string(o.Data))
		case *size < 0 || *size > len(rest):
			err = fmt.Errorf("the answer ends within it: %d of %d bytes are left", len(rest), *size)
		default:
			given[i].data, rest = rest[:*size:*size], rest[*size:]
		}
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", o.Name, err)
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes follow the answer", len(rest))
	}
	return given, nil
}

// readNumbers reads a JSON array of numbers, or of such arrays.
func readNumbers(datatype, text string) (t inference.Tensor, err error) {
	separates := func(r rune) bool { return strings.ContainsRune("[], \t\r\n", r) }
	for number := range strings.FieldsFuncSeq(text, separates) {
		switch datatype {
		case "FP32":
			var v float64
			v, err = strconv.ParseFloat(number, 32)
			t.Float32 = append(t.Float32, float32(v))
		case "INT64":
			var v int64
			v, err = strconv.ParseInt(number, 10, 64)
			t.Int64 = append(t.Int64, v)
		case "UINT8":
			var v uint64
			v, err = strconv.ParseUint(number, 10, 8)
			t.Uint8 = append(t.Uint8, uint8(v))
		default:
			err = fmt.Errorf("elements of type %s are not supported", datatype)
		}
		if err != nil {
			return t, err
		}
	}
	return t, nil
}

func (t *httpTransport) close() error {
	t.pool.CloseIdleConnections()
	return nil
}
