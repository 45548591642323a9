// shows the API description of this server.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true });
