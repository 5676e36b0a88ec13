// Shows the document of the API. Without validatorUrl it would be sent to a validator on the internet.
SwaggerUIBundle({ url: "v1/openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null });
