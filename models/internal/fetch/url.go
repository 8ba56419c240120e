// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
)

// fetchURL downloads or copies a model that is not in a package. Its hash must be in the catalog, given, or waived.
func (f *fetcher) fetchURL(ctx context.Context, m models.Model) error {
	from := f.URL
	if from == "" {
		from = m.Source.URL
	}
	want := m.SHA256
	if want == "" {
		want = strings.ToLower(f.SHA256)
	}
	if from == "" {
		return fmt.Errorf("%s: no URL is known (%s): pass -url URL or -url PATH", m.Name, m.OptIn)
	}
	if want == "" && !f.AcceptAny {
		return fmt.Errorf("%s: its hash is unknown: pass -sha256 HEX, or accept whatever %s returns with -accept-any",
			m.Name, from)
	}
	f.say("%s: %s", m.Name, m.OptIn)
	f.say("downloading %s", from)
	in, err := open(ctx, from)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	defer in.Close()

	h := sha256.New()
	start := time.Now()
	done := f.tick(from, start)
	err = writeAtomicFrom(m.Path(f.Dir), io.TeeReader(in, h), func() error {
		if sum := hex.EncodeToString(h.Sum(nil)); want != "" && sum != want {
			return fmt.Errorf("%s has the sha256 %s, expected %s", from, sum, want)
		}
		return nil
	})
	done()
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	f.say("%s is ready; its sha256 is %s", m.File, hex.EncodeToString(h.Sum(nil)))
	return nil
}

// open opens a URL or, if it has no scheme, a file.
func open(ctx context.Context, from string) (io.ReadCloser, error) {
	if !strings.Contains(from, "://") {
		return os.Open(from)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w\nwithout a network, copy the file here and pass -url PATH", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s answers %s", from, response.Status), response.Body.Close())
	}
	return response.Body, nil
}
