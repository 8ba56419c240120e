// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
)

// webhook sends requests that are signed according to https://www.standardwebhooks.com.
type webhook struct {
	*config.Webhook
	client *http.Client
	signer *standardwebhooks.Webhook
}

func newWebhook(c *config.Webhook) (*webhook, error) {
	key, err := c.Key()
	if err != nil {
		return nil, fmt.Errorf("webhook::secret: %w", err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("webhook::ca_file: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("webhook::ca_file: %s has no certificate in PEM", c.CAFile)
		}
	}
	signer, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		return nil, fmt.Errorf("webhook::secret: %w", err)
	}
	client := &http.Client{Transport: transport,
		// A redirect leads to an address that was not configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &webhook{c, client, signer}, nil
}

// deliver succeeds if the status of the response is 2xx.
func (w *webhook) deliver(ctx context.Context, e *Event, document []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(document))
	if err != nil {
		return err
	}
	now := time.Now()
	signature, err := w.signer.Sign(e.ID, now, document)
	if err != nil {
		return err
	}
	for name, value := range w.Headers {
		request.Header.Set(name, string(value))
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "otelcol-anonymizer")
	request.Header.Set(standardwebhooks.HeaderWebhookID, e.ID)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, fmt.Sprint(now.Unix()))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	response, err := w.client.Do(request)
	var failed *url.Error
	if errors.As(err, &failed) { // leave out the address, which may contain a secret
		return fmt.Errorf("the webhook cannot be reached: %w", failed.Err)
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the webhook answered %s", response.Status)
	}
	return nil
}

// maxAnswer is the maximum number of bytes read from a response.
const maxAnswer = 64 << 10
