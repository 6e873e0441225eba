// Package schematest holds reports of package tlsrpt against a JSON schema written from RFC
// 8460, Section 4.4. It is a module of its own, so that nobody else needs a schema
// validator.
package schematest
